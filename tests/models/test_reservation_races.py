"""Buyers against each other: what is sold, what deadlocks, what copies of one order do. Each with a broken twin that fails."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from uuid import uuid4

import asyncpg
import pytest

from soms.models import catalogue, reservation, stock
from soms.models.catalogue import NewProduct
from soms.models.database import fetch, transaction
from soms.models.reservation import Wanted, reserve

BUYERS = 64
Buy = Callable[[], Awaitable[bool]]
held: list[object] = []


async def sell(pieces: int, *skus: str) -> None:
    """So many pieces of each."""
    for sku in skus:
        await catalogue.create(uuid4(), "", NewProduct(sku=sku, name=sku, price=1, currency="GBP", on_hand=pieces))


async def buy_guarded() -> bool:
    """A piece, as SOMS sells it, in a round of one to three."""
    outcomes = await reserve([Wanted(uuid4(), {"hot": 1}) for _ in range(random.randint(1, 3))])
    held.extend(outcome.order_id for outcome in outcomes if outcome.lines)
    return all(outcome.lines for outcome in outcomes)


async def buy_naively() -> bool:
    """A piece, as ten years of shops sold it: look, then write."""
    now = await stock.read("hot")
    if now["available"] < 1:
        return False
    await fetch("products", "update stock set reserved = $1 where sku = 'hot'", now["reserved"] + 1)
    held.append(uuid4())
    return True


async def sold(buy: Buy) -> int:
    """How many pieces 64 buyers get of 100, each buying until there are none."""
    held.clear()
    await sell(100, "hot")

    async def buyer() -> None:
        for _ in range(200):
            if not await buy():
                return

    await asyncio.gather(*(buyer() for _ in range(BUYERS)))
    return len(held)


@pytest.mark.parametrize(("buy", "exact"), [(buy_guarded, True), (buy_naively, False)])
async def test_64_buyers_of_100_pieces(database: None, buy: Buy, exact: bool) -> None:
    """A hundred pieces are sold, no more and no fewer; the naive twin sells what is not there."""
    total = await sold(buy)

    assert (total == 100) if exact else (total > 100)


@pytest.mark.parametrize(("order", "safe"), [("sku", True), ("random()", False)])
async def test_carts_in_any_order_do_not_deadlock(database: None, monkeypatch: pytest.MonkeyPatch, order: str, safe: bool) -> None:
    """Rounds of carts that want the same goods in different orders get by each other; without sorted locks they deadlock."""
    skus = [f"s{n}" for n in range(12)]
    await sell(1_000_000, *skus)
    monkeypatch.setattr(
        reservation, "HOLD", reservation.HOLD.replace("order by sku for no key update", f"order by {order} for no key update")
    )

    async def shopper() -> None:
        for _ in range(15):
            await reserve([Wanted(uuid4(), dict.fromkeys(random.sample(skus, 6), 1)) for _ in range(3)])

    ends = await asyncio.gather(*(shopper() for _ in range(8)), return_exceptions=True)
    deadlocks = [end for end in ends if isinstance(end, asyncpg.DeadlockDetectedError)]

    assert bool(deadlocks) != safe
    if safe:
        assert ends == [None] * 8
        (total,) = await fetch("products", "select sum(reserved) from stock")
        assert total[0] == 8 * 15 * 3 * 6


async def test_ten_copies_of_the_order_for_the_last_pieces(database: None) -> None:
    """One order, sent ten times at once in rounds with others, holds once, and each copy gets the same answer."""
    await sell(3, "hot")
    await sell(100, "cold")
    wish = Wanted(uuid4(), {"hot": 3})

    rounds = await asyncio.gather(*(reserve([Wanted(uuid4(), {"cold": 1}), wish]) for _ in range(10)))

    assert {tuple(outcome.lines) for _, outcome in rounds} == {(("hot", 3, "hot", 1, "GBP"),)}
    assert all(other.lines for other, _ in rounds)
    assert (await stock.read("hot"))["reserved"] == 3
    assert (await stock.read("cold"))["reserved"] == 10


async def test_copies_with_other_lines(database: None) -> None:
    """Of two orders under one id one holds and the other is a mismatch, even if they share no goods."""
    await sell(10, "a", "b")
    order_id = uuid4()

    outcomes = await asyncio.gather(*(reserve([Wanted(order_id, {sku: 1})]) for sku in ("a", "b") * 4))

    assert sum(bool(outcome.lines) for (outcome,) in outcomes) == 4
    assert sum(outcome.mismatch for (outcome,) in outcomes) == 4
    (total,) = await fetch("products", "select sum(reserved) from stock")
    assert total[0] == 1


FROM_WHAT_WAS_LOCKED = "set on_hand = t.on_hand, reserved = t.reserved + t.quantity"


@pytest.mark.parametrize(("setting", "safe"), [(FROM_WHAT_WAS_LOCKED, True), ("set reserved = stock.reserved + t.quantity", False)])
async def test_pieces_that_come_while_a_round_waits(database: None, monkeypatch: pytest.MonkeyPatch, setting: str, safe: bool) -> None:
    """A round that waits for a delivery to be booked in gets of it; one that updates the row as it saw it fails a CHECK that holds."""
    assert FROM_WHAT_WAS_LOCKED in reservation.HOLD
    monkeypatch.setattr(reservation, "HOLD", reservation.HOLD.replace(FROM_WHAT_WAS_LOCKED, setting))
    await sell(0, "a")
    booked = asyncio.Event()

    async def buyer() -> bool:
        await booked.wait()
        (outcome,) = await reserve([Wanted(uuid4(), {"a": 5})])
        return bool(outcome.lines)

    buying = asyncio.create_task(buyer())
    async with asyncio.timeout(10), transaction("products"):
        await fetch("products", "update stock set on_hand = 5 where sku = 'a'")
        booked.set()
        while not await fetch("products", "select from pg_locks where not granted"):
            pass

    (end,) = await asyncio.gather(buying, return_exceptions=True)
    assert end is True if safe else isinstance(end, asyncpg.CheckViolationError)
