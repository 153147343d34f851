"""Findings on a real shop (UCI Online Retail, nine months): as many as said, on its own weeks and where nothing can be unusual."""

import csv
import datetime as dt
import functools
import io
import lzma
import random
import zoneinfo
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soms.models import unusual
from soms.models.unusual import HOUR, WEEK_HOURS, Hour, Unusual

DATA = Path(__file__).parents[3] / "shared" / "data" / "online-retail-2010-12..2011-08.csv.xz"
LONDON = zoneinfo.ZoneInfo("Europe/London")
MONDAY = dt.datetime(2010, 11, 29, tzinfo=dt.UTC)
WEEK = dt.timedelta(weeks=1)
KNOWN = 8
Weeks = list[list[Hour]]
real = pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data, real orders that are not part of the repository")


@functools.cache
def shop() -> Weeks:
    """The hours of its weeks in which it was open at all, on the wall and as if that were UTC; the last one is not whole."""
    cancelled: Counter[dt.datetime] = Counter()
    invoices: dict[str, tuple[dt.datetime, Decimal]] = {}
    for row in csv.DictReader(io.StringIO(lzma.decompress(DATA.read_bytes()).decode())):
        at = dt.datetime.fromisoformat(row["InvoiceDate"]).replace(minute=0, tzinfo=dt.UTC)
        first, worth = invoices.get(row["InvoiceNo"], (at, Decimal()))
        invoices[row["InvoiceNo"]] = first, worth + int(row["Quantity"]) * Decimal(row["UnitPrice"]) * 100
    orders: dict[dt.datetime, list[int]] = defaultdict(list)
    for number, (at, worth) in invoices.items():
        if number.startswith("C"):
            cancelled[at] += 1
        elif worth > 0:
            orders[at].append(round(worth))
    weeks = [[hour(orders[at], cancelled[at]) for at in (MONDAY + week * WEEK + n * HOUR for n in range(WEEK_HOURS))] for week in range(39)]
    return [week for week in weeks if any(one.orders for one in week)]


def hour(worth: list[int], cancelled: int) -> Hour:
    """An hour of orders worth so much."""
    return (
        Hour(len(worth), cancelled, {"GBP": sum(worth)}, {"GBP": float(sum(one * one for one in worth))}) if worth else Hour(0, cancelled)
    )


def found(weeks: Weeks) -> list[Unusual]:
    """All findings of the weeks after the first `KNOWN`."""
    hours = {MONDAY + week * WEEK + n * HOUR: one for week, all_of_it in enumerate(weeks) for n, one in enumerate(all_of_it)}
    utc = zoneinfo.ZoneInfo("UTC")
    # hours of the night that were always empty are judged, too, but one in four says enough
    judged = [start for start in sorted(hours) if start >= MONDAY + KNOWN * WEEK and (hours[start] != Hour() or not start.hour % 4)]
    return [one for start in judged for one in unusual.hourly(hours, start, MONDAY, utc)]


@real
def test_findings_of_a_real_shop() -> None:
    """Less than one a week, Good Friday among them."""
    mine = found(shop())
    assert 5 <= len(mine) <= 31, mine


@real
def test_false_alarms_where_weeks_are_alike() -> None:
    """Each hour of the week dealt anew among the weeks leaves nothing unusual but single orders: less than one finding a week."""
    weeks = shop()
    columns = [[week[n] for week in weeks] for n in range(WEEK_HOURS)]
    for column in columns:
        random.Random(len(column)).shuffle(column)
    dealt = [[column[week] for column in columns] for week in range(len(weeks))]
    assert len(found(dealt)) < len(weeks) - KNOWN


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(0, WEEK_HOURS - 1))
def test_weeks_that_are_all_alike(orders: int, which: int) -> None:
    """What is always the same is never a finding, in any zone and through any change of its clocks."""
    start = dt.datetime(2026, 3, 27, tzinfo=dt.UTC) + which * HOUR
    hours = {start - back * HOUR: Hour(orders, 1, {"GBP": orders * 500}, {"GBP": orders * 250_000.0}) for back in range(10 * WEEK_HOURS)}
    for zone in ("Europe/London", "America/New_York", "Asia/Kolkata"):
        assert unusual.hourly(hours, start, min(hours), zoneinfo.ZoneInfo(zone)) == []


def test_the_same_hour_is_that_on_the_wall() -> None:
    """Nine in the morning is usual at nine, in summer as in winter: after the clocks changed it is no finding, eight and ten would be."""
    first = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
    hours = {start: Hour(50 if start.astimezone(LONDON).hour == 9 else 0) for start in (first + n * HOUR for n in range(70 * 24))}
    nine = dt.datetime(2026, 4, 1, 9, tzinfo=LONDON).astimezone(dt.UTC)

    assert unusual.hourly(hours, nine, first, LONDON) == []
    shifted = hours | {nine: Hour(0), nine + HOUR: Hour(50)}
    assert [one.kind for one in unusual.hourly(shifted, nine, first, LONDON)] == ["low"]
    assert [one.kind for one in unusual.hourly(shifted, nine + HOUR, first, LONDON)] == ["high"]
