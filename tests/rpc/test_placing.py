"""How rounds of placements end, on a real database, with a product service of our own making in the test."""

import asyncio
from uuid import uuid4

import pytest

from soms.errors import Aborted, FailedPrecondition, InvalidArgument, Unavailable
from soms.models import placement as orders
from soms.models.database import fetch
from soms.models.draft import Draft, Placement, ReservedLine
from soms.models.idempotency import Answer
from soms.rpc import placing as placing_module
from soms.rpc.gen.soms import v1
from soms.rpc.placing import Placing

ANN = uuid4()


class Shelf:
    """A product service with so many pieces of each SKU."""

    def __init__(self, **pieces: int) -> None:
        self.pieces, self.rounds = pieces, list[int]()
        self.settled: list[v1.Settlement] = []
        self.open = asyncio.Event()
        self.open.set()

    async def reserve_stock(self, message: v1.ReserveStockRequest) -> v1.ReserveStockResponse:
        """Hold what there is."""
        self.rounds.append(len(message.reservations))
        await self.open.wait()
        return v1.ReserveStockResponse([self.hold(r) for r in message.reservations])

    def hold(self, wanted: v1.Reservation) -> v1.ReservationOutcome:
        """One reservation's outcome."""
        short = [v1.Shortage(x.sku, x.quantity, self.pieces.get(x.sku, 0)) for x in wanted.lines if self.pieces.get(x.sku, 0) < x.quantity]
        if short:
            return v1.ReservationOutcome(wanted.order_id, short=short)
        for line in wanted.lines:
            self.pieces[line.sku] -= line.quantity
        held = [v1.ReservedLine(x.sku, x.quantity, x.sku, 100, "EUR" if x.sku == "E" else "GBP") for x in wanted.lines]
        return v1.ReservationOutcome(wanted.order_id, held)

    async def settle_stock(self, message: v1.SettleStockRequest) -> v1.SettleStockResponse:
        """Take note."""
        self.settled += message.settlements
        return v1.SettleStockResponse()


@pytest.fixture
async def shelf(database: None) -> Shelf:
    """Ten of A, ten of E."""
    return Shelf(A=10, E=10)


@pytest.fixture
def placing(shelf: Shelf) -> Placing:
    """The placing of one instance."""
    return Placing(b"secret", shelf)  # type: ignore[arg-type] - it has the two methods that count


def asked(key: str = "", *lines: tuple[str, int]) -> Placement:
    """A placement of Ann's."""
    return Placement(ANN, "ann@example.org", key or uuid4().hex, lines or (("A", 1),))


async def orders_stored() -> int:
    """How many orders there are."""
    return int((await fetch("orders", "select count(*) from orders"))[0][0])


async def test_each_order_of_a_round_has_its_own_outcome(shelf: Shelf, placing: Placing) -> None:
    """Twenty buyers of ten pieces: ten orders, ten refusals that name what is short; refusals are kept."""
    keys = [f"k{n}" for n in range(20)]
    results = await asyncio.gather(*(placing.place(asked(key)) for key in keys), return_exceptions=True)

    assert sum(isinstance(r, Answer) for r in results) == 10
    refused = [r for r in results if isinstance(r, FailedPrecondition)]
    assert [r.reason for r in refused] == ["insufficient_stock"] * 10
    assert refused[0].details["short"] == [{"sku": "A", "requested": 1, "available": 0}]
    again = await asyncio.gather(*(placing.place(asked(key)) for key in keys), return_exceptions=True)
    assert [type(r) for r in again] == [type(r) for r in results]
    assert all(r.details["replayed"] for r in again if isinstance(r, FailedPrecondition))
    assert await orders_stored() == 10


async def test_copies_of_one_key_make_one_order(placing: Placing) -> None:
    """Ten copies at once: one order, ten equal documents."""
    answers = await asyncio.gather(*(placing.place(asked("k")) for _ in range(10)))

    assert sorted(a.replayed for a in answers) == [False] + [True] * 9
    assert all(a.document == answers[0].document for a in answers)
    assert await orders_stored() == 1


async def test_copies_on_two_instances_make_one_order(shelf: Shelf, placing: Placing) -> None:
    """Rivals that know nothing of each other meet on the database's keys."""
    other = Placing(b"secret", placing._products)

    answers = await asyncio.gather(*(p.place(asked("k")) for p in (placing, other) for _ in range(5)))

    assert all(a.document == answers[0].document for a in answers)
    assert await orders_stored() == 1


async def test_a_rival_in_a_round_spoils_only_its_own_order(placing: Placing, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round whose statement clashes goes on one by one."""
    (draft,) = await orders.look_up(b"secret", [asked("k")])
    assert isinstance(draft, Draft)
    real = orders.look_up

    async def slow_look_up(secret: bytes, placements: list[Placement]) -> list[orders.Outcome]:
        found = await real(secret, placements)
        if any(p.key == "k" for p in placements) and not await orders_stored():
            draft.lines = [ReservedLine("A", 1, "A", 100, "GBP")]
            await orders.place([draft])
        return found

    monkeypatch.setattr(placing_module.orders, "look_up", slow_look_up)
    batch = await placing._round([asked("k"), asked("l"), asked("m")])

    assert [isinstance(a, Answer) and a.replayed for a in batch] == [True, False, False]
    assert await orders_stored() == 3


async def test_a_copy_waits_for_a_second_at_most(shelf: Shelf, placing: Placing) -> None:
    """While the first copy is stuck, the second one is told that it is in flight; afterwards the key works."""
    shelf.open.clear()
    first = asyncio.create_task(placing.place(asked("k")))
    with pytest.raises(Aborted) as refused:
        await asyncio.gather(placing.place(asked("k")), return_exceptions=False)
    assert (refused.value.reason, refused.value.retry_after) == ("in_flight", 1)

    shelf.open.set()
    assert (await first).document == (await placing.place(asked("k"))).document


async def test_goods_of_two_currencies_are_refused_and_released(shelf: Shelf, placing: Placing) -> None:
    """Nothing is kept, and what was held is given back at once."""
    with pytest.raises(InvalidArgument) as refused:
        await placing.place(asked("k", ("A", 1), ("E", 1)))

    assert refused.value.details["errors"][0]["code"] == "mixed_currencies"
    assert [s.status for s in shelf.settled] == ["abandoned"]
    assert (await placing.place(asked("k", ("A", 1)))).replayed is False


async def test_an_outage_is_no_answer(shelf: Shelf, placing: Placing, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the product service away nothing is stored, and the same key places the order later."""

    async def away(message: v1.ReserveStockRequest) -> v1.ReserveStockResponse:
        raise Unavailable("away")

    with monkeypatch.context() as outage:
        outage.setattr(shelf, "reserve_stock", away)
        with pytest.raises(Unavailable):
            await placing.place(asked("k"))

    assert (await placing.place(asked("k"))).replayed is False
