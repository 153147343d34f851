"""Findings: what was unusual, told once each. Reads the facts of history; what is unusual is `unusual`'s to say."""

import contextlib
import datetime as dt
import zoneinfo
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, Final

from soms.errors import InvalidArgument
from soms.finding import AnalyticsFinding
from soms.models import outbox, unusual
from soms.models.database import fetch, transaction
from soms.models.unusual import HOUR, SPAN, STILL_DAYS, USUAL_DAYS, Hour, Sold, Traded, Unusual

# one worker at a time judges
JUDGING: Final = 7_236_850
LIMIT: Final = 100
# what goes on being so is one finding, told again after so long
HOURS_QUIET: Final = dt.timedelta(days=1)
DAYS_QUIET: Final = dt.timedelta(days=7)
ALONE: Final = f"select pg_try_advisory_xact_lock({JUDGING}, 'finding'::regclass::oid::int) as alone"
SINCE: Final = "select date_trunc('hour', min(placed_at) + interval '59 minutes 59.999999 seconds', 'UTC') as since from order_fact"
PLACED: Final = """
select date_trunc('hour', placed_at, 'UTC') as start, currency, count(*) as orders,
       coalesce(sum(total) filter (where total > 0), 0)::bigint as value,
       coalesce(sum(total::float8 * total) filter (where total > 0), 0) as squares
  from order_fact where placed_at >= $1 and placed_at < $2 group by 1, 2
"""
CANCELLED: Final = """
select date_trunc('hour', cancelled_at, 'UTC') as start, count(*) as cancelled
  from order_fact where cancelled_at >= $1 and cancelled_at < $2 group by 1
"""
# $1 and $2 bound the usual days, $3 today, $4 its end; $5 is the zone of days
DAYS: Final = """
with placed as materialized (
  select order_id, date_trunc('day', placed_at, $5) as day from order_fact where placed_at >= $1 and placed_at < $4),
days as materialized (select day, count(*) as orders from placed group by day)
"""
TRADED: Final = f"""{DAYS}
select coalesce(sum(orders) filter (where day < $2), 0)::bigint as usual,
       coalesce(sum(orders * orders) filter (where day < $2), 0)::bigint as squares,
       coalesce(sum(orders) filter (where day >= $2), 0)::bigint as lately,
       coalesce(sum(orders) filter (where day = $3), 0)::bigint as today
  from days
"""
SOLD: Final = f"""{DAYS},
sold as (select sku, day, max(name) as name, count(distinct order_id) as sold from placed join line_fact using (order_id) group by sku, day)
select sku, max(name) as name, coalesce(sum(sold) filter (where day < $2), 0)::bigint as usual,
       coalesce(sum(sold * sold) filter (where day < $2), 0)::bigint as squares,
       coalesce(sum(sold * orders) filter (where day < $2), 0)::bigint as crossed,
       coalesce(sum(sold) filter (where day >= $2), 0)::bigint as lately,
       coalesce(sum(sold) filter (where day = $3), 0)::bigint as today
  from sold join days using (day) group by sku
"""
# nothing is found of the same side of the same thing while the last one is young
TELL: Final = """
with new (id, kind, metric, key, start, seconds, expected, actual, message) as (
  select $1::uuid, $2::text, $3::text, $4::text, $5::timestamptz, $6::int, $7::float8, $8::float8, $9::text)
insert into finding (id, kind, metric, key, start, seconds, expected, actual, message) select * from new where not exists (
  select from finding as old where (old.metric, old.kind) = (new.metric, new.kind) and old.key is not distinct from new.key
     and old.start > new.start - $10::interval and old.start < new.start)
on conflict do nothing returning id
"""
NEWEST: Final = """
select id, kind, metric, key, start, expected, actual, message, created_at from finding order by created_at desc, id desc limit $1
"""


@contextlib.asynccontextmanager
async def alone() -> AsyncIterator[bool]:
    """One transaction, in which at most one worker finds that it may judge."""
    async with transaction("analytics"):
        [row] = await fetch("analytics", ALONE)
        yield row["alone"]


async def of_hour(start: dt.datetime, zone: zoneinfo.ZoneInfo) -> list[Unusual]:
    """What is unusual in the hour that begins at `start`, by the facts."""
    [row] = await fetch("analytics", SINCE)
    if row["since"] is None:
        return []
    first, end = start - SPAN, start + HOUR
    placed, cancelled = await fetch("analytics", PLACED, first, end), await fetch("analytics", CANCELLED, first, end)
    orders: dict[dt.datetime, int] = defaultdict(int)
    money: dict[dt.datetime, dict[str, tuple[int, float]]] = defaultdict(dict)
    for one in placed:
        orders[one["start"]] += one["orders"]
        money[one["start"]][one["currency"]] = one["value"], one["squares"]
    gone = {one["start"]: one["cancelled"] for one in cancelled}
    hours = {
        hour: Hour(
            orders.get(hour, 0),
            gone.get(hour, 0),
            {currency: value for currency, (value, _) in money.get(hour, {}).items()},
            {currency: squares for currency, (_, squares) in money.get(hour, {}).items()},
        )
        for hour in orders.keys() | gone.keys()
    }
    return unusual.hourly(hours, start, row["since"], zone)


async def of_products(day: dt.date, zone: zoneinfo.ZoneInfo) -> list[Unusual]:
    """Products that are unusual on a day of the zone, by the facts, the most surprising first."""
    usual_from, usual_until, start, end = (
        dt.datetime.combine(day + dt.timedelta(days=days), dt.time(), zone) for days in (1 - STILL_DAYS - USUAL_DAYS, 1 - STILL_DAYS, 0, 1)
    )
    bounds = usual_from, usual_until, start, end, zone.key
    [since] = await fetch("analytics", SINCE)
    if since["since"] is None or since["since"] > usual_from + dt.timedelta(days=1):
        return []
    [traded] = await fetch("analytics", TRADED, *bounds)
    sold = [Sold(*row) for row in await fetch("analytics", SOLD, *bounds)]
    return unusual.products(sold, Traded(*traded), start.astimezone(dt.UTC), end.astimezone(dt.UTC) - start.astimezone(dt.UTC))


async def tell(one: Unusual, message: str) -> bool:
    """Keep a finding and write its event, in the transaction under way; whether it is new."""
    quiet = DAYS_QUIET if one.metric == "product" else HOURS_QUIET
    values = one.id, one.kind, one.metric, one.key, one.start, one.seconds, one.expected, one.actual, message, quiet
    if not await fetch("analytics", TELL, *values):
        return False
    event = AnalyticsFinding(
        version=1,
        finding_id=one.id,
        kind=one.kind,
        metric=one.metric,
        subject=one.key,
        name=one.name,
        start=one.start,
        seconds=one.seconds,
        expected=one.expected,
        actual=one.actual,
        message=message,
    )
    await outbox.append("analytics", event)
    return True


async def newest(limit: int) -> list[dict[str, Any]]:
    """The newest findings as documents, newest first. Raises InvalidArgument for a limit that is none."""
    if not 1 <= limit <= LIMIT:
        raise InvalidArgument(f"limit must be from 1 to {LIMIT}", reason="invalid_parameter")
    return [dict(row) | {"id": str(row["id"])} for row in await fetch("analytics", NEWEST, limit)]
