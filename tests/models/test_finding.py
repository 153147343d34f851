"""Findings on the facts of a database: found, kept once with their event, and shown newest first."""

import datetime as dt
import json
import zoneinfo
from collections.abc import Iterable
from uuid import uuid4

import pytest

from soms.errors import InvalidArgument
from soms.models import finding
from soms.models.database import fetch, transaction
from soms.models.unusual import Unusual

UTC = zoneinfo.ZoneInfo("UTC")
NOON = dt.datetime(2026, 6, 17, 12, tzinfo=dt.UTC)
WEEK = dt.timedelta(weeks=1)
ORDER = """
insert into order_fact (order_id, version, number, currency, status, total, units, placed_at, cancelled_at)
values ($1, 1, 'S-1', 'GBP', 'placed', $2, 1, $3, $4)
"""
LINE = "insert into line_fact (order_id, position, sku, name, quantity, returned_quantity, unit_price) values ($1, 1, $2, 'Mug', 1, 0, 100)"
pytestmark = pytest.mark.usefixtures("database")


async def placed(at: dt.datetime, number: int, total: int = 1000, sku: str = "", cancelled_at: dt.datetime | None = None) -> None:
    """So many orders, a few seconds apart."""
    for seconds in range(number):
        order_id = uuid4()
        await fetch("analytics", ORDER, order_id, total, at + dt.timedelta(seconds=seconds), cancelled_at)
        if sku:
            await fetch("analytics", LINE, order_id, sku)


async def told(found: Iterable[Unusual]) -> list[bool]:
    """Tell them."""
    async with transaction("analytics"):
        return [await finding.tell(one, "words") for one in found]


async def test_hours_unlike_others_are_found() -> None:
    """Sixty orders where ten are usual are unusual, and so is what they are worth; ten of them, or nine, are not."""
    for week in range(1, 10):
        await placed(NOON - week * WEEK, 10)
    await placed(NOON - dt.timedelta(hours=1), 9)
    await placed(NOON, 60)

    found = await finding.of_hour(NOON, UTC)

    assert [(one.metric, one.kind, one.key, one.actual) for one in found] == [
        ("orders", "high", None, 60),
        ("revenue", "high", "GBP", 60_000),
    ]
    assert 9 < found[0].expected < 11
    assert await finding.of_hour(NOON - WEEK, UTC) == []


async def test_silence_and_cancellations_are_found() -> None:
    """No order where sixty are usual, and nine of ten cancelled where nobody cancels."""
    for week in range(1, 10):
        await placed(NOON - week * WEEK, 60)
        await placed(NOON - week * WEEK - dt.timedelta(hours=2), 60)
    await placed(NOON - dt.timedelta(hours=2), 60, cancelled_at=NOON - dt.timedelta(hours=1, minutes=1))

    assert {(one.metric, one.kind) for one in await finding.of_hour(NOON, UTC)} == {("orders", "low"), ("revenue", "low")}
    found = await finding.of_hour(NOON - dt.timedelta(hours=2), UTC)
    assert [(one.metric, one.kind, one.actual) for one in found] == [("cancellation_rate", "high", 0.5)]


async def test_products_that_begin_and_stop_are_found() -> None:
    """One product sold every day and has not for a week, another was never sold and is in each order of the day; a third is as ever."""
    for days in range(1, 36):
        at = NOON - dt.timedelta(days=days)
        await placed(at, 5, sku="STEADY")
        if days >= 7:
            await placed(at, 5, sku="OLD")
    await placed(NOON, 10, sku="NEW")
    await placed(NOON, 2, sku="STEADY")

    found = await finding.of_products(NOON.date(), UTC)

    assert {(one.metric, one.kind, one.key, one.actual, one.name) for one in found} == {
        ("product", "high", "NEW", 10, "Mug"),
        ("product", "low", "OLD", 0, "Mug"),
    }


async def test_nothing_is_usual_at_first() -> None:
    """Without orders, or with those of two weeks, nothing is found."""
    assert await finding.of_hour(NOON, UTC) == []
    assert await finding.of_products(NOON.date(), UTC) == []
    for week in range(1, 3):
        await placed(NOON - week * WEEK, 10)
    await placed(NOON, 100)
    assert await finding.of_hour(NOON, UTC) == []
    assert await finding.of_products(NOON.date(), UTC) == []


async def test_told_once_with_an_event() -> None:
    """A finding has one row and one event however often it is told; what goes on is not told again within a day, its end or another is."""
    one = Unusual("revenue", "GBP", NOON, "high", 3600, 10.0, 90.0, 1e-9)
    later = one._replace(start=NOON + dt.timedelta(hours=1))
    tomorrow = one._replace(start=NOON + dt.timedelta(hours=24))

    assert await told([one, one, later, later._replace(kind="low"), later._replace(key="EUR"), tomorrow]) == [
        True,
        False,
        False,
        True,
        True,
        True,
    ]
    assert await told([one]) == [False]
    events = await fetch("analytics", "select type, topic, key, payload from outbox order by id")
    assert [(row["type"], row["topic"], row["key"]) for row in events] == [
        ("soms.analytics.finding.v1", "soms.analytics", f"revenue:{currency}") for currency in ("GBP", "GBP", "EUR", "GBP")
    ]
    assert json.loads(events[0]["payload"])["finding_id"] == str(one.id)


async def test_an_event_and_its_finding_are_one() -> None:
    """Where the transaction fails, neither is there."""
    with pytest.raises(RuntimeError):
        async with transaction("analytics"):
            await finding.tell(Unusual("orders", None, NOON, "high", 3600, 10.0, 90.0, 1e-9), "words")
            raise RuntimeError
    assert await fetch("analytics", "select 1 from outbox union all select 1 from finding") == []


async def test_newest_first() -> None:
    """The list has the members of the REST document, the newest first, as many as asked; other limits are refused."""
    for hours in range(3):
        await told([Unusual("orders", None, NOON + dt.timedelta(days=hours), "high", 3600, 10.0, 90.0, 1e-9)])

    found = await finding.newest(2)

    assert [one["start"] for one in found] == [NOON + dt.timedelta(days=2), NOON + dt.timedelta(days=1)]
    assert set(found[0]) == {"id", "kind", "metric", "key", "start", "expected", "actual", "message", "created_at"}
    for limit in (0, -1, 101):
        with pytest.raises(InvalidArgument):
            await finding.newest(limit)
