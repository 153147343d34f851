"""Stock and its ledger, and the two events of low stock: from every way to change stock, once a crossing."""

import asyncio
import contextlib
import random
from uuid import UUID, uuid4

import orjson
import pytest
from pydantic import ValidationError

from soms.errors import FailedPrecondition, InvalidArgument, NotFound
from soms.events import StockBack, StockLow
from soms.models import catalogue, stock
from soms.models.catalogue import NewProduct
from soms.models.database import fetch
from soms.models.fulfilment import Settlement, settle
from soms.models.reservation import Wanted, reserve
from soms.models.stock import Adjustment, adjust

STAFF = uuid4()


async def begin(on_hand: int = 10, low_threshold: int = 0, sku: str = "a") -> None:
    """A product with so much of it."""
    new = NewProduct(sku=sku, name=f"The {sku}", price=1, currency="GBP", on_hand=on_hand, low_threshold=low_threshold)
    await catalogue.create(STAFF, "", new)


async def change(delta: int, key: str = "") -> dict[str, int]:
    """Add or take so many of `a`."""
    return (await adjust(STAFF, key, "a", Adjustment(delta=delta, reason="counted"))).document


async def hold(pieces: int) -> UUID:
    """An order that holds so many of `a`."""
    order_id = uuid4()
    await reserve([Wanted(order_id, {"a": pieces})])
    return order_id


async def told() -> list[str]:
    """What was said of stock, oldest first."""
    rows = await fetch("products", "select type, payload from outbox where type like 'soms.product.stock%' order by id")
    for row in rows:
        kind = StockLow if row["type"] == StockLow.type else StockBack
        assert kind.model_validate(orjson.loads(row["payload"]), extra="forbid").name == "The a"
    return [row["type"].split(".")[2] for row in rows]


async def test_adjust(database: None) -> None:
    """Pieces come and go, each with a line in the ledger."""
    await begin(10, low_threshold=3)

    assert await change(5) == {"sku": "a", "on_hand": 15, "reserved": 0, "available": 15, "low_threshold": 3}
    assert (await change(-15))["on_hand"] == 0
    rows, _ = await stock.movements("a", 0, "")
    assert [(row["kind"], row["delta"], row["on_hand"], row["reason"]) for row in rows] == [
        ("adjusted", -15, 0, "counted"),
        ("received", 5, 15, "counted"),
        ("received", 10, 10, "initial stock"),
    ]


async def test_adjust_never_takes_what_is_promised(database: None) -> None:
    """The refusal names what is free; nothing moves."""
    await begin(10)
    await hold(8)

    with pytest.raises(FailedPrecondition) as refusal:
        await change(-3)

    assert (refusal.value.reason, refusal.value.details) == (
        "insufficient_stock",
        {"short": [{"sku": "a", "requested": 3, "available": 2}]},
    )
    assert (await stock.read("a"))["on_hand"] == 10


async def test_adjust_has_bounds(database: None) -> None:
    """Nothing, or more than there is room for, makes no sense; and what nobody sells has no stock."""
    await begin(10)
    for delta in (0, 1_000_000_001, -1_000_000_001):
        with pytest.raises(ValidationError):
            Adjustment(delta=delta, reason="counted")
    with pytest.raises(InvalidArgument):
        await change(1_000_000_000)
    for refused in (adjust(STAFF, "", "b", Adjustment(delta=1, reason="r")), stock.read("b"), stock.movements("b", 0, "")):
        with pytest.raises(NotFound):
            await refused


async def test_adjust_under_a_key(database: None) -> None:
    """A repetition gets the first answer and moves nothing, refusals included."""
    await begin(10)

    first = await adjust(STAFF, "k1", "a", Adjustment(delta=5, reason="r"))
    again = await adjust(STAFF, "k1", "a", Adjustment(delta=5, reason="r"))

    assert (first.document, False, True) == (again.document, first.replayed, again.replayed)
    for _ in range(2):
        with pytest.raises(FailedPrecondition):
            await change(-16, "k2")
        await change(1)
    with pytest.raises(InvalidArgument, match="another request"):
        await change(-17, "k2")
    assert (await stock.read("a"))["on_hand"] == 17


async def test_movements_in_pages(database: None) -> None:
    """Newest first, none twice, none left out."""
    await begin(1)
    for delta in range(1, 25):
        await change(delta)

    first, token = await stock.movements("a", 10, "")
    second, token = await stock.movements("a", 10, token)
    third, end = await stock.movements("a", 10, token)

    assert [row["delta"] for row in (*first, *second, *third)] == [*range(24, 0, -1), 1]
    assert end == ""


async def test_ledger_adds_up_under_concurrency(database: None) -> None:
    """With all that can move stock at once, deltas add up to what is there, line by line, and promises to what is held."""
    await begin(50)

    async def worker() -> None:
        for _ in range(12):
            order_id = await hold(random.randint(1, 3))
            with contextlib.suppress(FailedPrecondition):
                await change(random.choice([-4, 4]))
            life = random.choice([("placed", "shipped"), ("placed", "shipped", "returned"), ("cancelled",), ("placed",)])
            for version, status in enumerate(life, 1):
                await settle([Settlement(order_id, version, status)])

    await asyncio.gather(*(worker() for _ in range(8)))

    rows = await fetch("products", "select on_hand, sum(delta) over (order by id) as added from movement order by id")
    assert [row["on_hand"] for row in rows] == [row["added"] for row in rows]
    promised = (
        "select coalesce(sum(quantity), 0) from reservation join reservation_line using (order_id) where state in ('HELD', 'ALLOCATED')"
    )
    (open_,) = await fetch("products", promised)
    now = await stock.read("a")
    assert (now["on_hand"], now["reserved"]) == (rows[-1]["added"], open_[0])


async def test_every_way_across_the_threshold_is_told(database: None) -> None:
    """Reserving, releasing, adjusting, returning and a new threshold tell of low stock and of its end; shipping changes nothing."""
    await begin(10, low_threshold=4)
    order_id = await hold(6)
    assert await told() == ["stock_low"]
    await settle([Settlement(order_id, 1, "cancelled")])
    assert await told() == ["stock_low", "stock_back"]
    await change(-6)
    await change(-1)
    assert await told() == ["stock_low", "stock_back", "stock_low"]
    await change(2)
    assert (await told())[3:] == ["stock_back"]
    order_id = await hold(2)
    assert (await told())[4:] == ["stock_low"]
    await settle([Settlement(order_id, 1, "shipped")])
    assert (await told())[5:] == []
    await settle([Settlement(order_id, 2, "returned")])
    assert (await told())[5:] == ["stock_back"]
    await catalogue.update("a", {"low_threshold": 5})
    await catalogue.update("a", {"low_threshold": 3})
    assert (await told())[6:] == ["stock_low", "stock_back"]


async def test_new_product_is_low_silently(database: None) -> None:
    """What starts with little is no news; threshold 0 tells when all is gone."""
    await begin(3, low_threshold=5)
    await hold(1)
    assert await told() == []
    await change(4)
    await catalogue.update("a", {"low_threshold": 0})
    await hold(6)
    assert await told() == ["stock_back", "stock_low"]


async def buy_and_observe(barrier: asyncio.Barrier) -> int:
    """The naive twin: who sees more before and less after tells."""
    before = (await stock.read("a"))["available"]
    await barrier.wait()
    await hold(1)
    await barrier.wait()
    return int(before > 4 >= (await stock.read("a"))["available"])


async def test_a_crossing_is_told_once_under_concurrency(database: None) -> None:
    """Of eight buyers at once, each a part of the crossing, one event comes; the naive twin tells eight times."""
    await begin(12, low_threshold=4)
    barrier = asyncio.Barrier(8)

    naive = await asyncio.gather(*(buy_and_observe(barrier) for _ in range(8)))

    assert await told() == ["stock_low"]
    assert sum(naive) == 8
