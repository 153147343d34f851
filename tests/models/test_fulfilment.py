"""Bringing held stock to where orders stand: whatever of an order's life arrives, how often and in which order, it ends the same."""

from collections.abc import Sequence
from uuid import UUID, uuid4

from soms.models import catalogue, stock
from soms.models.catalogue import NewProduct
from soms.models.database import fetch
from soms.models.fulfilment import Settlement, settle
from soms.models.reservation import Wanted, reserve


async def held(**lines: int) -> UUID:
    """An order that holds these pieces; there are ten of each."""
    for sku in lines:
        if not await fetch("products", "select 1 from stock where sku = $1", sku):
            await catalogue.create(uuid4(), "", NewProduct(sku=sku, name=f"The {sku}", price=250, currency="GBP", on_hand=10))
    order_id = uuid4()
    await reserve([Wanted(order_id, lines)])
    return order_id


async def counts(sku: str) -> tuple[int, int]:
    """Pieces on hand and reserved."""
    now = await stock.read(sku)
    return now["on_hand"], now["reserved"]


async def ledger(sku: str) -> Sequence[tuple[str, int, int]]:
    """Kind, delta and stock after it, oldest first."""
    rows, _ = await stock.movements(sku, 100, "")
    return [(row["kind"], row["delta"], row["on_hand"]) for row in reversed(rows)]


async def state(order_id: UUID) -> str:
    """Where the reservation stands."""
    (row,) = await fetch("products", "select state from reservation where order_id = $1", order_id)
    return str(row["state"])


async def test_life_of_an_order(database: None) -> None:
    """Placing and paying move nothing, shipping takes the goods off, returns bring them back, once each."""
    order_id = await held(a=4, b=1)
    steps = [
        (1, "placed", {}),
        (2, "paid", {}),
        (3, "shipped", {}),
        (4, "delivered", {}),
        (5, "delivered", {"a": 1}),
        (6, "returned", {"a": 4, "b": 1}),
    ]
    seen = []
    for version, status, returned in steps:
        await settle([Settlement(order_id, version, status, returned)])
        await settle([Settlement(order_id, version, status, returned)])
        seen.append(await counts("a"))

    assert seen == [(10, 4), (10, 4), (6, 0), (6, 0), (7, 0), (10, 0)]
    assert await ledger("a") == [("received", 10, 10), ("shipped", -4, 6), ("returned", 1, 7), ("returned", 3, 10)]
    assert await counts("b") == (10, 0)


async def test_cancelled_and_abandoned_release(database: None) -> None:
    """What was promised is free again, and the order id is used up."""
    for status, version in (("cancelled", 2), ("abandoned", 1)):
        order_id = await held(a=4)
        await settle([Settlement(order_id, version, status)])
        await settle([Settlement(order_id, version, status)])
        (again,) = await reserve([Wanted(order_id, {"a": 4})])

        assert again.released
        assert await counts("a") == (10, 0)
