"""Bringing held stock to where orders stand: whatever of an order's life arrives, how often and in which order, it ends the same."""

import asyncio
import itertools
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, example, given, strategies
from hypothesis import settings as hypothesis

from soms.models import catalogue, fulfilment, stock
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


async def test_goods_keep_their_returns(database: None) -> None:
    """More can't come back than left; a SKU that the order never had is passed over; a return may bring the news that goods left."""
    order_id = await held(a=4)
    await settle([Settlement(order_id, 5, "delivered", {"a": 9, "zzz": 1})])

    assert await ledger("a") == [("received", 10, 10), ("shipped", -4, 6), ("returned", 4, 10)]


async def test_unknown_order_changes_nothing(database: None) -> None:
    """An order that never reserved here, as one imported, has no stock to settle."""
    await settle([Settlement(uuid4(), 1, "placed"), Settlement(uuid4(), 3, "shipped"), Settlement(uuid4(), 0, "abandoned")])


@pytest.mark.parametrize(
    ("first", "second", "ends"),
    [
        ((0, "abandoned"), (1, "placed"), "RELEASED"),
        ((0, "abandoned"), (3, "shipped"), "RELEASED"),
        ((2, "cancelled"), (3, "paid"), "RELEASED"),
        ((3, "shipped"), (4, "cancelled"), "SHIPPED"),
    ],
)
async def test_contradictions_are_reported_and_not_applied(
    database: None, caplog: pytest.LogCaptureFixture, first: tuple[int, str], second: tuple[int, str], ends: str
) -> None:
    """Should the fence ever fail, people are told, and no stock is given away twice."""
    order_id = await held(a=4)
    await settle([Settlement(order_id, *first)])
    before = await counts("a")
    await settle([Settlement(order_id, *second)])

    assert (await state(order_id), await counts("a")) == (ends, before)
    assert [(record.levelname, record.order_id) for record in caplog.records] == [("ERROR", str(order_id))]


async def test_outdated_settlements_are_no_contradiction(database: None, caplog: pytest.LogCaptureFixture) -> None:
    """News that are older than what is known are passed over in silence."""
    cancelled, shipped = await held(a=1), await held(a=1)
    await settle([Settlement(cancelled, 3, "cancelled"), Settlement(shipped, 3, "shipped")])
    for version, status in ((1, "placed"), (2, "paid"), (0, "abandoned")):
        await settle([Settlement(cancelled, version, status), Settlement(shipped, version, status)])

    assert (await state(cancelled), await state(shipped), caplog.records) == ("RELEASED", "SHIPPED", [])


RETURNED = [
    (1, "placed", {}),
    (2, "paid", {}),
    (3, "shipped", {}),
    (4, "delivered", {}),
    (5, "delivered", {"a": 1}),
    (6, "returned", {"a": 4, "b": 1}),
]
KEPT = [*RETURNED[:4], (5, "delivered", {"b": 1}), (6, "delivered", {"a": 2, "b": 1})]
CANCELLED = [(1, "placed", {}), (2, "paid", {}), (3, "cancelled", {})]
ENDS = {"RETURNED": (RETURNED, (10, 0), (10, 0)), "KEPT": (KEPT, (8, 0), (10, 0)), "CANCELLED": (CANCELLED, (10, 0), (10, 0))}


@strategies.composite
def histories(draw: strategies.DrawFn) -> tuple[str, list[list[int]]]:
    """A life, and in what batches its settlements arrive: each at least once, in any order, some again."""
    life = draw(strategies.sampled_from(list(ENDS)))
    steps = range(len(ENDS[life][0]))
    arrivals = draw(strategies.permutations([*steps, *draw(strategies.lists(strategies.sampled_from(steps), max_size=6))]))
    cuts = sorted(draw(strategies.sets(strategies.integers(1, len(arrivals) - 1))))
    return life, [list(arrivals[start:end]) for start, end in itertools.pairwise([0, *cuts, len(arrivals)])]


@given(histories())
@example(("RETURNED", [[5], [4], [3], [2], [1], [0]]))
@hypothesis(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_order_of_arrival_ends_the_same(database: None, history: tuple[str, list[list[int]]]) -> None:
    """A life of an order, told in any order, in any batches, any part of it again, leaves the same stock and a ledger that adds up."""
    life, batches = history
    steps, *ends = ENDS[life]
    await fetch("products", "with s as (delete from stock), m as (delete from movement) delete from product")
    order_id = await held(a=4, b=1)
    for batch in batches:
        await settle([Settlement(order_id, *steps[n]) for n in batch])

    assert [await counts("a"), await counts("b")] == ends
    for sku in ("a", "b"):
        lines = await ledger(sku)
        assert [on_hand for _, _, on_hand in lines] == list(itertools.accumulate(delta for _, delta, _ in lines))


@pytest.mark.parametrize("safe", [True, False])
async def test_settlements_at_once(database: None, monkeypatch: pytest.MonkeyPatch, safe: bool) -> None:
    """Eight copies of the same news at once move stock once; without the lock on the reservation they move it again and again."""
    if not safe:
        monkeypatch.setattr(fulfilment, "LOCK", fulfilment.LOCK.replace(" for no key update", ""))
    orders = [await held(a=1, b=1) for _ in range(5)]
    news = [Settlement(order_id, 3, "delivered", {"a": 1}) for order_id in orders]

    ends = await asyncio.gather(*(settle(news[n:] + news[:n]) for n in (0, 1, 2, 3) * 2), return_exceptions=True)

    fine = ends == [None] * 8 and (await counts("a"), await counts("b")) == ((10, 0), (5, 0)) and len(await ledger("a")) == 11
    assert fine is safe


async def test_crowd_is_one_statement(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many orders were placed, allocating their stock is one round trip."""
    orders = [await held(a=1) for _ in range(10)]
    statements = []

    async def counting(schema: str, statement: str, *arguments: object) -> object:
        statements.append(statement)
        return await fetch(schema, statement, *arguments)

    monkeypatch.setattr(fulfilment, "fetch", counting)
    await settle([Settlement(order_id, 1, "placed") for order_id in orders])

    assert statements == [fulfilment.ALLOCATE]
    assert {await state(order_id) for order_id in orders} == {"ALLOCATED"}


async def test_stale_reservations_are_asked_about_in_turn(database: None) -> None:
    """What is held for too long is given to one asker, not again before its time, and never once it is settled."""
    orders = {await held(a=1) for _ in range(4)}
    assert await fulfilment.stale() == []
    await fetch("products", "update reservation set expires_at = now() - interval '1 second'")
    await settle([Settlement(next(iter(orders)), 1, "placed")])

    asked = [order_id for batch in await asyncio.gather(fulfilment.stale(), fulfilment.stale()) for order_id in batch]

    assert sorted(asked) == sorted(orders - {next(iter(orders))})
    assert await fulfilment.stale() == []
