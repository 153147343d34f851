"""Holding stock for orders: a round of them in one statement, each order wholly or not at all, each once.

The hottest path of SOMS. Knows orders by their ids alone; what becomes of held stock is `fulfilment`'s business.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import asyncpg
from pydantic import Field
from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model

from soms.models.database import fetch
from soms.values import Quantity, Sku

HOLD_SECONDS = 120
MAXIMUM_LINES = 10_000

# One row a line whose SKU is known, `held` or not. A SKU that is short for the round as a whole keeps back every order that wants it.
# - Rows of stock are locked in the order of SKUs, then reservations written in the order of ids, so that rounds cannot deadlock.
# - Stock is set from what was locked, on_hand too: PostgreSQL first tries an update on the row as it was when the statement began, and
#   would fail its CHECK there if a rival has added pieces since.
# - Lines travel with their SKU in arrays instead of being joined to it again: a plan is made once, for orders of any size.
HOLD = f"""
with line as (
  select *, count(*) over (partition by order_id) as lines from unnest($1::uuid[], $2::text[], $3::int[]) as l (order_id, sku, quantity)),
need as (
  select sku, sum(quantity) as needed, array_agg(order_id) as orders, array_agg(quantity) as quantities, array_agg(lines) as lines
    from line group by sku),
locked as materialized (
  select need.*, name, price, currency, active, on_hand, reserved, s.version, on_hand - reserved as available
    from need join product using (sku) join stock s using (sku) order by sku for no key update of s),
decided as materialized (
  select l.order_id, sku, l.quantity, name, price, currency, active, on_hand, reserved, version, available,
         bool_and(active and needed <= available) over one and count(*) over one = l.lines as held
    from locked, unnest(orders, quantities, locked.lines) as l (order_id, quantity, lines) window one as (partition by l.order_id)),
taken as (
  update stock set on_hand = t.on_hand, reserved = t.reserved + t.quantity, version = t.version + 1
    from (select sku, on_hand, reserved, version, sum(quantity)::int as quantity from decided where held group by 1, 2, 3, 4) as t
   where stock.sku = t.sku),
held as (
  insert into reservation (order_id, expires_at)
  select distinct order_id, now() + interval '{HOLD_SECONDS} seconds' from decided where held order by order_id),
kept as (
  insert into reservation_line (order_id, sku, quantity, unit_price, name, currency)
  select order_id, sku, quantity, price, name, currency from decided where held)
select order_id, sku, quantity, name, price as unit_price, currency, active, available, held from decided order by order_id, sku
"""
STANDING = """
select order_id, state, sku, quantity, name, unit_price, currency from reservation r join reservation_line l using (order_id)
 where r.order_id = any($1) and l.order_id = any($1) order by order_id, sku
"""


class Reservation(Model):
    """Stock held for an order. Its lines are in `reservation_line` (migration 0002): Tortoise knows no key of two columns.

    HELD until `expires_at`, then the order service is asked; ALLOCATED once the order stands; then SHIPPED, or else RELEASED.
    `version` tells outdated settlements from new ones: 0 while HELD, 1 once ALLOCATED, then the order's own when it last moved stock.
    """

    order_id = fields.UUIDField(primary_key=True)
    state = fields.CharField(max_length=9, db_default="HELD")
    version = fields.BigIntField(db_default=0)
    expires_at = fields.DatetimeField()
    created_at = fields.DatetimeField(db_default=SqlDefault("now()"))

    class Meta:
        """Schema products."""

        table = "reservation"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one order wants held: pieces by SKU."""

    order_id: UUID
    lines: Annotated[dict[Sku, Quantity], Field(min_length=1, max_length=MAXIMUM_LINES)]


class Held(NamedTuple):
    """A line that is held, with name and price (minor units of `currency`) as of then."""

    sku: str
    quantity: int
    name: str
    unit_price: int
    currency: str


class Shortage(NamedTuple):
    """Of one SKU there is too little."""

    sku: str
    requested: int
    available: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one reservation: its held lines, sorted by SKU, or why there are none.

    `mismatch`: other lines are held under this order id. `released`: the id is used up.
    """

    order_id: UUID
    lines: Sequence[Held] = ()
    short: Sequence[Shortage] = ()
    unknown_skus: Sequence[str] = ()
    inactive_skus: Sequence[str] = ()
    mismatch: bool = False
    released: bool = False


async def reserve(wanted: Sequence[Wanted]) -> list[Outcome]:
    """Hold stock for each of these orders, wholly or not at all; an order that stands already is answered from what it holds.

    Order ids are distinct. Orders that only together want more than there is are tried one by one, in the order given.
    """
    outcomes = await _attempt(wanted) if wanted else {}
    if outcomes and (rest := [one for one in wanted if one.order_id not in outcomes]):
        outcomes |= await _attempt(rest)
    for one in wanted:
        if one.order_id not in outcomes:
            outcomes |= await _attempt([one])
    return [outcomes[one.order_id] for one in wanted]


async def _attempt(wanted: Sequence[Wanted]) -> dict[UUID, Outcome]:
    """Outcomes by order; those that are in each other's way, or in that of a copy, have none. One order alone has one always.

    What stands is looked up after the attempt, not before: a copy of an order may take the last piece in between.
    """
    outcomes = await _hold(wanted)
    doubtful = {one.order_id: one.lines for one in wanted if one.order_id not in outcomes or not outcomes[one.order_id].lines}
    return outcomes | await _standing(doubtful) if doubtful else outcomes


async def _hold(wanted: Sequence[Wanted]) -> dict[UUID, Outcome]:
    lines = [(one.order_id, sku, quantity) for one in wanted for sku, quantity in one.lines.items()]
    try:
        rows = await fetch("products", HOLD, *map(list, zip(*lines, strict=True)))
    except asyncpg.UniqueViolationError:
        # a copy of one of these orders was faster, so nothing of this round is held
        return {}
    found = {order_id: list(group) for order_id, group in groupby(rows, itemgetter("order_id"))}
    outcomes = (_outcome(one, found.get(one.order_id, [])) for one in wanted)
    return {outcome.order_id: outcome for outcome in outcomes if outcome}


def _outcome(wanted: Wanted, rows: list[Any]) -> Outcome | None:
    """What the statement decided for one order; None where the round as a whole wants too much of something."""
    if rows and rows[0]["held"]:
        return Outcome(wanted.order_id, lines=_held(rows))
    unknown = sorted(wanted.lines.keys() - {row["sku"] for row in rows})
    inactive = [row["sku"] for row in rows if not row["active"]]
    lacking = [row for row in rows if row["active"] and row["quantity"] > row["available"]]
    short = [Shortage(row["sku"], row["quantity"], row["available"]) for row in lacking]
    if unknown or inactive or short:
        return Outcome(wanted.order_id, short=short, unknown_skus=unknown, inactive_skus=inactive)
    return None


def _held(rows: Iterable[Any]) -> list[Held]:
    return [Held(row["sku"], row["quantity"], row["name"], row["unit_price"], row["currency"]) for row in rows]


async def _standing(wanted: dict[UUID, dict[str, int]]) -> dict[UUID, Outcome]:
    rows = await fetch("products", STANDING, list(wanted))
    found = {}
    for order_id, group in groupby(rows, itemgetter("order_id")):
        lines = list(group)
        mismatch = {row["sku"]: row["quantity"] for row in lines} != wanted[order_id]
        released = lines[0]["state"] == "RELEASED"
        found[order_id] = Outcome(order_id, lines=() if mismatch or released else _held(lines), mismatch=mismatch, released=released)
    return found
