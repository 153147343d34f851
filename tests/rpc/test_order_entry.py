"""Orders that staff enter, from the message to the books, on a real database with a shelf of our own."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from soms.errors import InvalidArgument, NotFound, ResourceExhausted, SomsError
from soms.models.database import fetch
from soms.models.draft import Placement
from soms.models.idempotency import Answer
from soms.rpc import context
from soms.rpc.context import Call
from soms.rpc.gen.soms import v1
from soms.rpc.order_entry import entered
from soms.rpc.placing import Placing
from soms.tokens import Identity

STAFF, ANN = uuid4(), uuid4()


class Shelf:
    """A product service that holds whatever is wanted, at 150 pence."""

    def __init__(self) -> None:
        self.wanted: list[v1.Reservation] = []
        self.settled: list[v1.Settlement] = []

    async def reserve_stock(self, message: v1.ReserveStockRequest) -> v1.ReserveStockResponse:
        """Hold it."""
        self.wanted += message.reservations
        held = [[v1.ReservedLine(x.sku, x.quantity, f"Product {x.sku}", 150, "GBP") for x in r.lines] for r in message.reservations]
        return v1.ReserveStockResponse(
            [v1.ReservationOutcome(r.order_id, lines) for r, lines in zip(message.reservations, held, strict=True)]
        )

    async def settle_stock(self, message: v1.SettleStockRequest) -> v1.SettleStockResponse:
        """Take note."""
        self.settled += message.settlements
        return v1.SettleStockResponse()


class People:
    """A user service that knows Ann."""

    async def get_user(self, message: v1.GetUserRequest) -> v1.GetUserResponse:
        """Ann, or nobody."""
        if message.id != str(ANN):
            raise NotFound
        return v1.GetUserResponse(v1.User(id=str(ANN), email="ann@example.org"))


@pytest.fixture
def shelf(database: None) -> Shelf:
    """The shelf."""
    return Shelf()


@pytest.fixture
def placing(shelf: Shelf) -> Placing:
    """The placing of one instance."""
    return Placing(b"secret", shelf)  # type: ignore[arg-type] - it has the two methods that count


@pytest.fixture(autouse=True)
def staff() -> Iterator[None]:
    """Somebody of the staff is calling."""
    with context.calling(Call(time.monotonic() + 30, identity=Identity(user_id=STAFF, email="s@example.org", roles=frozenset({"staff"})))):
        yield


async def asked(**members: Any) -> Placement:
    """What a request means."""
    lines = members.pop("lines", [v1.EntryLine("A", 2), v1.EntryLine("B", 1, 90), v1.EntryLine("A", 3, 0)])
    return await entered(v1.EnterOrderRequest(lines=lines, **members), People())  # type: ignore[arg-type] - it has the method that counts


async def refused(placing: Placing, **members: Any) -> SomsError:
    """Why it is not placed."""
    with pytest.raises(SomsError) as refusal:
        await placing.place(await asked(**members))
    return refusal.value


async def test_lines_stay_as_sent(shelf: Shelf, placing: Placing) -> None:
    """One SKU stands at two prices, stock is held once for both; the timeline says who entered it and why."""
    answer = await placing.place(await asked(user_id=str(ANN), reason="promised at the fair", note="thanks"))

    found = answer.document
    lines = [(line["sku"], line["name"], line["quantity"], line["unit_price"]) for line in found["lines"]]
    assert lines == [("A", "Product A", 2, 150), ("B", "Product B", 1, 90), ("A", "Product A", 3, 0)]
    assert (found["user_id"], found["email"], found["total"], found["note"]) == (str(ANN), "ann@example.org", 390, "thanks")
    assert [(line.sku, line.quantity) for line in shelf.wanted[0].lines] == [("A", 5), ("B", 1)]
    (entry,) = await fetch("orders", "select actor_type, actor_id, note from timeline")
    assert tuple(entry) == ("staff", str(STAFF), "promised at the fair")
    (row,) = await fetch("orders", "select user_id, total from orders")
    assert tuple(row) == (ANN, 390)


async def test_a_guest_is_an_email_alone(placing: Placing) -> None:
    """The order belongs to no account."""
    found = (await placing.place(await asked(email="Guest@Example.org"))).document

    assert (found["user_id"], found["email"]) == (None, "guest@example.org")
    (row,) = await fetch("orders", "select user_id, payload::jsonb ->> 'user_id' as told from orders, outbox")
    assert tuple(row) == (None, None)


async def test_a_key_serves_one_entry(placing: Placing) -> None:
    """Repeated it is answered as before; with another price, or as a plain placement, it is a mismatch. Without a key each is new."""
    first = await placing.place(await asked(email="g@example.org", idempotency_key="k"))
    again = await placing.place(await asked(email="g@example.org", idempotency_key="k"))
    assert (again.replayed, again.document) == (True, first.document)
    other = await refused(placing, email="g@example.org", idempotency_key="k", lines=[v1.EntryLine("A", 2, 1)])
    assert other.reason == "idempotency_mismatch"
    with pytest.raises(InvalidArgument):
        await placing.place(Placement(STAFF, "g@example.org", "k", (("A", 5), ("B", 1))))
    assert not (await placing.place(await asked(email="g@example.org"))).replayed


async def test_whose_order_it_is_must_be_known(placing: Placing) -> None:
    """Nobody, or somebody unknown: nothing is placed."""
    with pytest.raises(ValueError, match="user_id or email"):
        await asked()
    assert (await refused(placing, user_id=str(uuid4()))).reason == "unknown_user"
    assert (await refused(placing, user_id=str(uuid4()), email="g@example.org")).reason == "unknown_user"


async def test_pieces_of_one_sku_stay_in_bounds(placing: Placing) -> None:
    """Two lines of 600,000 are too many."""
    wrong = await refused(placing, email="g@example.org", lines=[v1.EntryLine("A", 600_000)] * 2)

    assert (wrong.reason, wrong.details["errors"][0]["field"]) == ("validation_failed", "lines")


async def test_ten_thousand_lines(shelf: Shelf, placing: Placing) -> None:
    """They are one order whose event can be told; worth more than can be counted, or too large to be told, they hold no stock."""
    lines = [v1.EntryLine(f"{n:05}", 1, 100) for n in range(10_000)]
    answer = await placing.place(await asked(email="g@example.org", lines=lines))
    assert isinstance(answer, Answer)
    assert (len(answer.document["lines"]), answer.document["total"]) == (10_000, 1_000_000)

    dear = [v1.EntryLine(f"{n:05}", 1_000_000, 1_000_000_000) for n in range(10_000)]
    assert (await refused(placing, email="g@example.org", lines=dear)).details["errors"][0]["code"] == "less_than_equal"
    long = [v1.EntryLine(f"{n:064}", 1) for n in range(10_000)]
    assert isinstance(await refused(placing, email="g@example.org", lines=long), ResourceExhausted)
    assert [one.status for one in shelf.settled] == ["abandoned"] * 2
    assert UUID(shelf.settled[0].order_id)
