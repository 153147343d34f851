"""Figures of history, against sums made in Python of the same orders."""

import datetime as dt
import uuid
from collections import Counter
from zoneinfo import ZoneInfo

import pytest

from soms.config import Settings
from soms.errors import InvalidArgument
from soms.events import EventLine, OrderCancelled, OrderEvent, OrderPaid, OrderPlaced
from soms.models import history_customers as customers
from soms.models import history_query as query
from soms.models.database import transaction
from soms.models.history_projection import Projection
from soms.models.history_query import By, Interval, Range, Ranking

LONDON = ZoneInfo("Europe/London")
ANN, BOB = uuid.UUID(int=1, version=4), uuid.UUID(int=2, version=4)
SPRING = dt.datetime(2026, 3, 29, tzinfo=LONDON)
AUTUMN = dt.datetime(2025, 10, 26, tzinfo=LONDON)


def moment(text: str) -> dt.datetime:
    """A time in UTC."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


class Shop:
    """Orders told to history."""

    def __init__(self, settings: Settings) -> None:
        self.projection = Projection(settings)

    async def order(
        self,
        at: dt.datetime,
        lines: dict[str, tuple[int, int]],
        *,
        who: uuid.UUID | None = ANN,
        currency: str = "GBP",
        country: str | None = "GB",
        paid_after: float | None = None,
        cancelled: bool = False,
    ) -> None:
        """One order of SKU: quantity and price, and what became of it."""
        known = {
            "order_id": uuid.uuid4(),
            "number": str(uuid.uuid4())[:20],
            "user_id": who,
            "email": "",
            "currency": currency,
            "country": country,
            "total": sum(quantity * price for quantity, price in lines.values()),
            "lines": [
                EventLine(sku=sku, name=sku.title(), quantity=quantity, unit_price=price) for sku, (quantity, price) in lines.items()
            ],
            "placed_at": at,
        }
        events: list[OrderEvent] = [OrderPlaced.model_validate({**known, "version": 1, "status": "placed", "at": at})]
        if paid_after is not None:
            paid = at + dt.timedelta(seconds=paid_after)
            events.append(OrderPaid.model_validate({**known, "version": 2, "status": "paid", "at": paid}))
        if cancelled:
            events.append(OrderCancelled.model_validate({**known, "version": 3, "status": "cancelled", "at": at + dt.timedelta(days=40)}))
        async with transaction("analytics"):
            await self.projection.write("analytics", events)


@pytest.fixture
async def shop(settings: Settings, database: None) -> Shop:
    """An empty history."""
    return Shop(settings)


DAYS = Range(moment("2026-01-01"), moment("2026-01-05"))


async def test_days_with_and_without_orders(shop: Shop) -> None:
    """Each day has a row, zeros where nothing was; an undone order counts, on its own day, but brings nothing."""
    await shop.order(moment("2026-01-02T10:00"), {"mug": (2, 500), "pen": (1, 100)})
    await shop.order(moment("2026-01-02T11:00"), {"mug": (1, 500)}, currency="EUR")
    await shop.order(moment("2026-01-04T11:00"), {"mug": (3, 500)}, cancelled=True)
    empty = {"key": None, "orders": 0, "units": 0, "revenue": {}, "cancelled": 0, "returned": 0}
    assert await query.summary(DAYS, Interval.DAY, None, "UTC") == [
        {"start": "2026-01-01T00:00:00.000000Z", **empty},
        {"start": "2026-01-02T00:00:00.000000Z", **empty, "orders": 2, "units": 4, "revenue": {"EUR": 500, "GBP": 1100}},
        {"start": "2026-01-03T00:00:00.000000Z", **empty},
        {"start": "2026-01-04T00:00:00.000000Z", **empty, "orders": 1, "units": 3, "revenue": {"GBP": 0}, "cancelled": 1},
    ]


async def test_by_product_country_and_status(shop: Shop) -> None:
    """Only what there is, by its key; nobody knows where the last one went."""
    await shop.order(moment("2026-01-02T10:00"), {"mug": (2, 500), "pen": (1, 100)})
    await shop.order(moment("2026-01-02T11:00"), {"mug": (1, 500)}, cancelled=True, country="DE")
    await shop.order(moment("2026-01-02T12:00"), {"pen": (5, 100)}, country=None)
    rows = {by: await query.summary(DAYS, Interval.MONTH, by, "UTC") for by in By}
    names = ("key", "orders", "units", "revenue", "cancelled")
    assert [tuple(row[name] for name in names) for row in rows[By.PRODUCT]] == [
        ("mug", 2, 3, {"GBP": 1000}, 1),
        ("pen", 2, 6, {"GBP": 600}, 0),
    ]
    assert [tuple(row[name] for name in names) for row in rows[By.COUNTRY]] == [
        ("DE", 1, 1, {"GBP": 0}, 1),
        ("GB", 1, 3, {"GBP": 1100}, 0),
        (None, 1, 5, {"GBP": 500}, 0),
    ]
    assert [(row["key"], row["orders"]) for row in rows[By.STATUS]] == [("cancelled", 1), ("placed", 2)]


@pytest.mark.parametrize(("day", "hours"), [(SPRING, 23), (AUTUMN, 25)])
async def test_days_that_are_not_24_hours(shop: Shop, day: dt.datetime, hours: int) -> None:
    """A day of London has its own hours and all its orders, when the clocks change too; no hour is lost or told twice."""
    began = day.astimezone(dt.UTC)
    for hour in range(-1, 26):
        await shop.order(began + dt.timedelta(hours=hour, minutes=30), {"mug": (1, 500)})
    whole = Range(began, began + dt.timedelta(hours=hours))
    [row] = await query.summary(whole, Interval.DAY, None, "Europe/London")
    assert (row["start"], row["orders"]) == (query.timestamp(began), hours)
    each = await query.summary(whole, Interval.HOUR, None, "Europe/London")
    assert [row["orders"] for row in each] == [1] * hours
    assert [row["start"] for row in each] == [query.timestamp(began + dt.timedelta(hours=n)) for n in range(hours)]


@pytest.mark.parametrize("zone", ["UTC", "Europe/London", "Asia/Kolkata", "America/St_Johns", "Australia/Lord_Howe", "Pacific/Kiritimati"])
@pytest.mark.parametrize("interval", [Interval.HOUR, Interval.DAY, Interval.WEEK, Interval.MONTH])
async def test_any_calendar(shop: Shop, zone: str, interval: Interval) -> None:
    """Intervals begin where the calendar of the zone says, follow each other without a gap, and have every order in its own."""
    moments = [moment("2026-03-20T00:30") + dt.timedelta(hours=7 * n) for n in range(60)]
    for at in moments:
        await shop.order(at, {"mug": (1, 1)})
    rows = await query.summary(Range(moments[0], moments[-1] + dt.timedelta(seconds=1)), interval, None, zone)
    starts = [dt.datetime.fromisoformat(row["start"]) for row in rows]
    assert starts == sorted(set(starts))
    wanted = Counter(max(start for start in starts if start <= at) for at in moments)
    assert {start: row["orders"] for start, row in zip(starts, rows, strict=True) if row["orders"]} == wanted
    for local in (start.astimezone(ZoneInfo(zone)) for start in starts):
        assert interval is Interval.HOUR or (local.hour, local.minute) == (0, 0)
        assert interval is not Interval.WEEK or local.weekday() == 0
        assert interval is not Interval.MONTH or local.day == 1


async def test_nothing_after_now(shop: Shop) -> None:
    """A range into the future ends with the present interval; an empty range has no row."""
    now = dt.datetime.now(dt.UTC)
    rows = await query.summary(Range(now - dt.timedelta(days=1), now + dt.timedelta(days=9)), Interval.DAY, None, "UTC")
    assert len(rows) == 2
    assert await query.summary(Range(now, now), Interval.DAY, None, "UTC") == []
    with pytest.raises(InvalidArgument, match="rows"):
        await query.summary(Range(now - dt.timedelta(days=300), now), Interval.MINUTE, None, "UTC")
    assert await query.summary(Range(dt.datetime.min.replace(tzinfo=dt.UTC), now), Interval.MONTH, None, "America/New_York")


async def test_top_products(shop: Shop) -> None:
    """By what they brought in the currency of most orders, or by pieces; what was undone brought nothing."""
    await shop.order(moment("2026-01-02T10:00"), {"mug": (2, 500), "pen": (10, 10)})
    await shop.order(moment("2026-01-02T11:00"), {"pen": (1, 10)})
    await shop.order(moment("2026-01-02T12:00"), {"bag": (1, 900_000)}, cancelled=True)
    await shop.order(moment("2026-01-02T12:00"), {"cap": (1, 900_000)}, currency="JPY")
    first = await query.top_products(DAYS, 3, Ranking.REVENUE)
    assert [(one["sku"], one["revenue"]) for one in first] == [("mug", {"GBP": 1000}), ("pen", {"GBP": 110}), ("bag", {"GBP": 0})]
    assert first[1] == {"sku": "pen", "name": "Pen", "orders": 2, "units": 11, "revenue": {"GBP": 110}}
    assert [one["sku"] for one in await query.top_products(DAYS, 2, Ranking.UNITS)] == ["pen", "mug"]


async def test_overview_and_funnel(shop: Shop) -> None:
    """Rates of what was ordered, averages of what stands, people new and known; an empty range divides by nothing."""
    await shop.order(moment("2025-12-02T10:00"), {"mug": (2, 500)}, who=ANN)
    await shop.order(moment("2026-01-02T10:00"), {"mug": (2, 500)}, who=ANN, paid_after=60)
    await shop.order(moment("2026-01-02T11:00"), {"mug": (1, 500)}, who=BOB, paid_after=120)
    await shop.order(moment("2026-01-02T12:00"), {"mug": (4, 500)}, who=BOB, cancelled=True)
    await shop.order(moment("2026-01-02T13:00"), {"mug": (1, 500)}, who=None)
    assert await customers.overview(DAYS) == {
        "orders": 4,
        "units": 8,
        "revenue": {"GBP": 2000},
        "average_order_value": {"GBP": 667},
        "cancellation_rate": 0.25,
        "return_rate": 0.0,
        "new_customers": 1,
        "returning_customers": 1,
    }
    funnel = await customers.funnel(DAYS)
    assert funnel == {
        **dict.fromkeys(("shipped", "delivered", "returned"), 0),
        "placed": 4,
        "paid": 2,
        "cancelled": 1,
        "median_seconds": {"paid": 90.0, "shipped": None, "delivered": None},
    }
    empty = await customers.overview(Range(moment("2024-01-01"), moment("2024-01-02")))
    assert (empty["orders"], empty["revenue"], empty["cancellation_rate"]) == (0, {}, None)


async def test_cohorts_and_best_customers(shop: Shop) -> None:
    """People stay in the month of their first order, of the calendar asked for; guests are not named."""
    await shop.order(moment("2026-01-31T23:30"), {"mug": (1, 500)}, who=ANN)
    await shop.order(moment("2026-02-10T10:00"), {"mug": (1, 500)}, who=ANN)
    await shop.order(moment("2026-02-11T10:00"), {"mug": (3, 500)}, who=BOB)
    await shop.order(moment("2026-02-11T10:00"), {"mug": (9, 500)}, who=None)
    winter = Range(moment("2026-01-01"), moment("2026-04-01"))
    one = {"customers": 1, "orders": 1}
    assert await customers.cohorts(winter, "UTC") == [
        {
            "cohort": "2026-01",
            "customers": 1,
            "months": [{"month": "2026-01", **one, "revenue": {"GBP": 500}}, {"month": "2026-02", **one, "revenue": {"GBP": 500}}],
        },
        {"cohort": "2026-02", "customers": 1, "months": [{"month": "2026-02", **one, "revenue": {"GBP": 1500}}]},
    ]
    found = await customers.cohorts(winter, "Europe/Berlin")
    assert [(row["cohort"], row["customers"], [month["orders"] for month in row["months"]]) for row in found] == [("2026-02", 2, [3])]
    best = await customers.top_customers(winter, 5)
    assert best == [
        {"user_id": str(BOB), "orders": 1, "units": 3, "revenue": {"GBP": 1500}},
        {"user_id": str(ANN), "orders": 2, "units": 2, "revenue": {"GBP": 1000}},
    ]
