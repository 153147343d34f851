"""Figures of a range: how much was ordered, when, of what, and what became of it. Every order counts where it was placed.

An order that was cancelled or returned counts among `orders` and `units`, but `revenue` is net of it. Knows no transport.
"""

import datetime as dt
import enum
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import asyncpg

from soms.errors import InvalidArgument
from soms.models.database import fetch
from soms.past import EPOCH

SCHEMA: Final = "analytics"
# rows of an answer; a year of hours, a month of minutes, a catalogue by the day
MOST_ROWS: Final = 20_000
STANDS: Final = "status not in ('cancelled', 'returned')"
UNDONE: Final = "count({0}) filter (where status = 'cancelled') as cancelled, count({0}) filter (where status = 'returned') as returned"
WITHIN: Final = "placed_at >= $1 and placed_at < $2"
ORDERS: Final = f"""
select {{key}} as key, currency, count(*) as orders, sum(units)::bigint as units, {UNDONE.format("*")},
       coalesce(sum(total) filter (where {STANDS}), 0)::bigint as revenue{{more}}
  from order_fact where {WITHIN} group by {{by}}
"""
PRODUCTS: Final = f"""
select sku as key, currency, count(distinct order_id) as orders, sum(quantity)::bigint as units, {UNDONE.format("distinct order_id")},
       coalesce(sum(line.total) filter (where {STANDS}), 0)::bigint as revenue{{more}}
  from order_fact join line_fact as line using (order_id) where {WITHIN} group by {{by}}
"""
START: Final = ", date_trunc($3, placed_at, $4) as start"
# a calendar that is not even (DST, offsets of half an hour) has each of its intervals once, however the steps fall
WITHOUT_KEY: Final = f"""
with counted as ({ORDERS.format(key="null::text", more=START, by="start, currency")}),
interval as (
  select distinct date_trunc($3, moment, $4) as start
    from generate_series(date_trunc($3, $1, $4), least($2, now()) - interval '1 microsecond', ('1 ' || $3)::interval, $4) as moment
   where $1 < least($2, now()))
select * from interval full join counted using (start) order by start, currency limit {MOST_ROWS + 1}
"""
BY_KEY: Final = f"select * from ({{counted}}) as counted order by start, key nulls last, currency limit {MOST_ROWS + 1}"
# revenues of different currencies cannot be compared: the one that most orders of the range bear comes first
TOP_PRODUCTS: Final = f"""
with counted as ({PRODUCTS.format(more=", max(name) as name", by="sku, currency")}),
usual as (select currency from counted group by currency order by sum(orders) desc, currency limit 1),
ranked as (
  select key, sum(units) as pieces, sum(revenue) filter (where currency = (select currency from usual)) as first, sum(revenue) as rest
    from counted group by key order by case when $4 = 'units' then sum(units) end desc nulls last, first desc nulls last, rest desc, key
   limit $3)
select counted.* from counted join ranked using (key)
 order by case when $4 = 'units' then pieces end desc nulls last, first desc nulls last, rest desc, key, currency
"""


class Interval(enum.StrEnum):
    """A piece of a calendar; weeks begin on Monday."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


class By(enum.StrEnum):
    """What a figure may be split by."""

    PRODUCT = "product"
    COUNTRY = "country"
    STATUS = "status"


class Ranking(enum.StrEnum):
    """What makes a product come first."""

    REVENUE = "revenue"
    UNITS = "units"


class Range(NamedTuple):
    """From (inclusive) to (exclusive), with zone."""

    start: dt.datetime
    end: dt.datetime


COUNTED: Final = {
    By.PRODUCT: PRODUCTS.format(more=START, by="start, sku, currency"),
    By.COUNTRY: ORDERS.format(key="nullif(country, '')", more=START, by="start, 1, currency"),
    By.STATUS: ORDERS.format(key="status", more=START, by="start, status, currency"),
}
STEP_SECONDS: Final = {Interval.MINUTE: 60, Interval.HOUR: 3600, Interval.DAY: 82_800, Interval.WEEK: 601_200, Interval.MONTH: 2_415_600}
COUNTS: Final = ("orders", "units", "cancelled", "returned")


async def summary(asked: Range, interval: Interval, by: By | None, time_zone: str) -> list[dict[str, Any]]:
    """Rows of rest.md, oldest first, in the calendar of `time_zone` (an IANA name). Raises InvalidArgument for more than `MOST_ROWS`."""
    asked = Range(max(asked.start, EPOCH), asked.end)  # no order is older
    end = min(asked.end, dt.datetime.now(dt.UTC))
    if not by and (end - asked.start).total_seconds() > (MOST_ROWS + 2) * STEP_SECONDS[interval]:
        raise too_long()
    statement = BY_KEY.format(counted=COUNTED[by]) if by else WITHOUT_KEY
    try:
        rows = await fetch(SCHEMA, statement, *asked, interval.value, time_zone)
    except asyncpg.InvalidParameterValueError as cause:
        raise wrong("time_zone", "not known") from cause
    if len(rows) > MOST_ROWS:
        raise too_long()
    return [{"start": timestamp(start), "key": key, **figures(group)} for (start, key), group in _grouped(rows, "start", "key")]


async def top_products(asked: Range, limit: int, ranking: Ranking) -> list[dict[str, Any]]:
    """What sold best."""
    rows = await fetch(SCHEMA, TOP_PRODUCTS, *asked, limit, ranking.value)
    return [
        {
            "sku": sku,
            "name": group[0]["name"] or sku,  # thousands of lines are told without names
            **{name: one for name, one in figures(group).items() if name in ("orders", "units", "revenue")},
        }
        for (sku,), group in _grouped(rows, "key")
    ]


def figures(rows: Iterable[asyncpg.Record]) -> dict[str, Any]:
    """What rows of one thing, one for each currency, come to; an empty interval has none."""
    found: dict[str, Any] = dict.fromkeys(COUNTS, 0) | {"revenue": {}}
    for row in rows:
        if row["currency"] is not None:
            found |= {name: found[name] + row[name] for name in COUNTS}
            found["revenue"][row["currency"]] = row["revenue"]
    return found


def timestamp(moment: dt.datetime) -> str:
    """RFC 3339, UTC, microseconds."""
    return f"{moment.astimezone(dt.UTC).isoformat(timespec='microseconds')[:26]}Z"


def too_long() -> InvalidArgument:
    """The refusal of a range that would be more than anybody reads."""
    return wrong("from", f"that is more than {MOST_ROWS:,} rows: ask for a shorter range or longer intervals")


def wrong(field: str, message: str) -> InvalidArgument:
    """The refusal of a parameter, by its name in REST."""
    return InvalidArgument(
        f"{field}: {message}", reason="invalid_parameter", errors=[{"field": field, "code": "invalid", "message": message}]
    )


def _grouped(rows: Iterable[asyncpg.Record], *names: str) -> Iterable[tuple[tuple[Any, ...], list[asyncpg.Record]]]:
    groups: dict[tuple[Any, ...], list[asyncpg.Record]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups.items()
