"""Stale reservations: whatever becomes of the asker or of the asked, no stock is sold twice and none stays held for ever."""

import asyncio
from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from tortoise.backends.asyncpg.client import TransactionWrapper
from tortoise.connection import get_connection

from soms.agents.resolving import Resolving
from soms.errors import DeadlineExceeded, SomsError, Unavailable
from soms.models import catalogue, fulfilment, stock
from soms.models.catalogue import NewProduct
from soms.models.database import fetch
from soms.models.reservation import Wanted, reserve
from soms.rpc.gen.soms import v1


class Orders:
    """An order service that knows these orders, and breaks when told to."""

    def __init__(self) -> None:
        self.placed: dict[str, v1.Order] = {}
        self.asked: list[str] = []
        self.fail: Callable[[str], None] = lambda _: None

    async def resolve_order(self, message: v1.ResolveOrderRequest) -> v1.ResolveOrderResponse:
        """What stands."""
        assert not isinstance(get_connection("products"), TransactionWrapper), "no call inside a transaction"
        self.asked.append(message.id)
        self.fail(message.id)
        return v1.ResolveOrderResponse(self.placed.get(message.id))


@pytest.fixture
async def orders(database: None) -> Orders:
    """No orders yet; a hundred pieces of `a`."""
    await catalogue.create(uuid4(), "", NewProduct(sku="a", name="a", price=1, currency="GBP", on_hand=100))
    return Orders()


def resolving(orders: Orders) -> Resolving:
    """The resolver of one instance."""
    return Resolving(orders)  # type: ignore[arg-type] - it has the one method that counts


async def held(pieces: int = 1) -> UUID:
    """An order that holds so many."""
    order_id = uuid4()
    await reserve([Wanted(order_id, {"a": pieces})])
    return order_id


async def overdue() -> None:
    """Time passes: whatever is held is overdue."""
    await fetch("products", "update reservation set expires_at = now() - interval '1 second'")


async def states() -> dict[UUID, str]:
    """Where reservations stand."""
    return {row["order_id"]: row["state"] for row in await fetch("products", "select order_id, state from reservation")}


def order(order_id: UUID, status: v1.OrderStatus, version: int, returned: int = 0) -> v1.Order:
    """An order as its service tells it; two lines of one SKU are one to us."""
    lines = [v1.OrderLine("a", "a", 1, returned), v1.OrderLine("a", "a", 1, 0)]
    return v1.Order(id=str(order_id), status=status, version=version, lines=lines)


async def test_what_stands_is_done(orders: Orders) -> None:
    """Overdue stock is released where no order came to be, and follows its order where one did; the rest is not asked about."""
    abandoned, placed, shipped, cancelled = [await held(2) for _ in range(4)]
    orders.placed[str(placed)] = order(placed, v1.OrderStatus.PLACED, 1)
    orders.placed[str(shipped)] = order(shipped, v1.OrderStatus.DELIVERED, 5, returned=1)
    orders.placed[str(cancelled)] = order(cancelled, v1.OrderStatus.CANCELLED, 2)
    await overdue()
    fresh = await held(2)

    await resolving(orders).run_once()

    assert await states() == {abandoned: "RELEASED", placed: "ALLOCATED", shipped: "SHIPPED", cancelled: "RELEASED", fresh: "HELD"}
    now = await stock.read("a")
    assert (now["on_hand"], now["reserved"]) == (99, 4)
    assert str(fresh) not in orders.asked


@pytest.mark.parametrize("outage", [Unavailable, DeadlineExceeded])
async def test_stock_stays_held_while_nobody_answers(orders: Orders, outage: type[SomsError]) -> None:
    """Without an answer nothing is released; once there is one, all is done."""
    abandoned = {await held() for _ in range(3)}
    await overdue()

    def away(_: str) -> None:
        raise outage

    orders.fail = away
    with pytest.raises(outage):
        await resolving(orders).run_once()
    assert len(orders.asked) == 1
    assert await states() == dict.fromkeys(abandoned, "HELD")

    orders.fail = lambda _: None
    await overdue()
    await resolving(orders).run_once()
    assert await states() == dict.fromkeys(abandoned, "RELEASED")


async def test_one_bad_order_does_not_keep_others(orders: Orders) -> None:
    """An order that cannot be told of is reported; those behind it are resolved."""
    bad, fine = await held(), await held()
    await overdue()

    def trip(order_id: str) -> None:
        if order_id == str(bad):
            raise SomsError

    orders.fail = trip
    await resolving(orders).run_once()
    assert await states() == {bad: "HELD", fine: "RELEASED"}


@pytest.mark.parametrize("point", ["after asking for stale ones", "after the answer", "after settling"])
async def test_asker_dies(orders: Orders, monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """Wherever the asker dies, the next one ends the work, and stock moves once."""
    order_id = await held(2)
    orders.placed[str(order_id)] = order(order_id, v1.OrderStatus.SHIPPED, 3)
    await overdue()
    settle = fulfilment.settle

    async def dying(settlements: list[fulfilment.Settlement]) -> None:
        if point == "after settling":
            await settle(settlements)
        raise asyncio.CancelledError

    def die(_: str) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patch:
        patch.setattr(fulfilment, "settle", dying)
        orders.fail = die if point == "after asking for stale ones" else orders.fail
        with pytest.raises(asyncio.CancelledError):
            await resolving(orders).run_once()
    orders.fail = lambda _: None
    await overdue()
    await resolving(orders).run_once()

    assert await states() == {order_id: "SHIPPED"}
    assert (await stock.read("a"))["on_hand"] == 98
    assert len((await stock.movements("a", 0, ""))[0]) == 2


async def test_two_askers(orders: Orders) -> None:
    """Two instances share the work: nothing is asked twice, everything is resolved."""
    abandoned = [await held() for _ in range(30)]
    await overdue()

    await asyncio.gather(resolving(orders).run_once(), resolving(orders).run_once())

    assert sorted(orders.asked) == sorted(map(str, abandoned))
    assert (await stock.read("a"))["reserved"] == 0


async def test_more_than_a_batch(orders: Orders, monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not fit into a batch is resolved right after it, not an interval later."""
    monkeypatch.setattr(fulfilment, "STALE_BATCH", 3)
    monkeypatch.setattr(fulfilment, "STALE", fulfilment.STALE.replace("limit 100", "limit 3"))
    for _ in range(7):
        await held()
    await overdue()

    async with asyncio.timeout(10), resolving(orders).pulse.running():
        while (await stock.read("a"))["reserved"]:
            pass

    assert len(orders.asked) == 7
