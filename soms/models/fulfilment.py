"""Bringing held stock to where its order stands: allocated, shipped, returned, or released.

A settlement says where an order stands, not what happened to it, so settlements may be repeated, lost but for the last, and out of order.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Literal
from uuid import UUID

import orjson
from pydantic import Field, TypeAdapter

from soms.events import OrderEvent
from soms.models.database import fetch, transaction
from soms.values import MAXIMUM_QUANTITY, Sku

Status = Literal["placed", "paid", "shipped", "delivered", "returned", "cancelled", "abandoned"]

log = logging.getLogger(__name__)

STALE_BATCH = 100
# a stale reservation whose order could not be asked about is left alone this long, so that it does not keep others from being asked
AGAIN_SECONDS = 30
# Where a reservation is brought by each status of its order. The first two are the crowd: they move no stock.
TARGETS: dict[Status, str] = {
    "placed": "ALLOCATED",
    "paid": "ALLOCATED",
    "shipped": "SHIPPED",
    "delivered": "SHIPPED",
    "returned": "SHIPPED",
    "cancelled": "RELEASED",
    "abandoned": "RELEASED",
}
STEPS = {
    ("HELD", "ALLOCATED"),
    *((was, target) for was in ("HELD", "ALLOCATED") for target in ("SHIPPED", "RELEASED")),
    ("SHIPPED", "SHIPPED"),
}

# `any` instead of a join keeps to the index, whatever a plan once made thinks of the size of a table. What has version 0 and is not
# RELEASED is HELD; said so, the plan does not fall for the index of what is held, which is full of what was.
ALLOCATE = """
with allocated as (
  update reservation set state = 'ALLOCATED', version = 1 where order_id = any(array(
    select order_id from reservation where order_id = any($1) and version = 0 and state <> 'RELEASED'
     order by order_id for no key update)))
select order_id, version from reservation where order_id = any($1) and state = 'RELEASED'
"""
LOCK = "select order_id, state, version from reservation where order_id = any($1) order by order_id for no key update"
# all that came back of a line: what came back before, unless we hear of more
BACK = "greatest(least(case when back is null then quantity else coalesce(back ->> sku, '0')::int end, quantity), returned_quantity)"
# Reservations are locked by a statement of their own, so that this one sees their lines as they are then. Movements travel with their SKU
# in arrays until its row is locked, as lines do in `reservation`.
MOVE = f"""
with target as (
  select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::jsonb[]) as t (order_id, version, was, state, back)),
line as materialized (
  select order_id, sku,
         case when was = 'SHIPPED' then 0 else quantity end as freed,
         case when was <> 'SHIPPED' and state = 'SHIPPED' then quantity else 0 end as shipped,
         {BACK} - returned_quantity as returned
    from target join reservation_line l using (order_id) where l.order_id = any($1) and state <> 'ALLOCATED'),
need as (
  select sku, sum(freed)::int as freed, sum(returned - shipped)::int as came,
         array_agg(order_id order by order_id) as orders, array_agg(-shipped order by order_id) as shipped,
         array_agg(returned order by order_id) as returned
    from line where freed + returned > 0 group by sku),
locked as materialized (
  select need.*, on_hand, reserved, version from need join stock s using (sku) order by sku for no key update of s),
changed as (
  update stock set on_hand = l.on_hand + came, reserved = l.reserved - freed, version = l.version + 1
    from locked l where stock.sku = l.sku),
moved as (
  insert into movement (sku, kind, delta, on_hand, order_id)
  select sku, kind, delta, on_hand + sum(delta) over (partition by sku order by n, kind desc), order_id
    from locked, unnest(orders, shipped, returned) with ordinality as m (order_id, shipped, returned, n),
         lateral (values ('shipped', m.shipped), ('returned', m.returned)) as one (kind, delta)
   where delta <> 0 order by sku, n, kind desc),
counted as (
  update reservation_line l set returned_quantity = {BACK}
    from target where l.order_id = any($1) and l.order_id = target.order_id and {BACK} > returned_quantity)
update reservation r set state = target.state, version = target.version from target
 where r.order_id = any($1) and r.order_id = target.order_id
"""
STALE = f"""
update reservation set expires_at = now() + interval '{AGAIN_SECONDS} seconds' where order_id = any(array(
  select order_id from reservation where state = 'HELD' and expires_at < now()
   order by expires_at limit {STALE_BATCH} for no key update skip locked))
returning order_id
"""


@dataclass(frozen=True, slots=True)
class Settlement:
    """Where an order stands in its `version`; `returned` maps SKU to pieces back so far, all returns together."""

    order_id: UUID
    version: Annotated[int, Field(ge=0, lt=1 << 63)]
    status: Status
    returned: dict[Sku, Annotated[int, Field(ge=0, le=MAXIMUM_QUANTITY)]] = field(default_factory=dict)

    @staticmethod
    def of(event: OrderEvent) -> "Settlement":
        """Where the order stood after `event`. Raises pydantic's ValidationError for what no order can be."""
        returned = dict[str, int]()
        for line in event.lines:
            if line.returned_quantity:
                returned[line.sku] = returned.get(line.sku, 0) + line.returned_quantity
        standing = {"order_id": event.order_id, "version": event.version, "status": event.status, "returned": returned}
        return _SETTLEMENT.validate_python(standing)

    @property
    def order_version(self) -> int:
        """The order's version; an order that never came to be has none."""
        return 0 if self.status == "abandoned" else self.version

    @property
    def target(self) -> str:
        """The state of the reservation that goes with it."""
        return TARGETS[self.status]


_SETTLEMENT = TypeAdapter(Settlement)


async def settle(settlements: Iterable[Settlement]) -> None:
    """Bring the reservations of these orders to where the orders stand; unknown orders and outdated settlements change nothing."""
    newest: dict[UUID, Settlement] = {}
    for one in settlements:
        if one.order_id not in newest or newest[one.order_id].order_version < one.order_version:
            newest[one.order_id] = one
    if all(one.target == "ALLOCATED" for one in newest.values()):
        released = await fetch("products", ALLOCATE, list(newest))
        _complain(newest[row["order_id"]] for row in released if newest[row["order_id"]].version > row["version"])
    else:
        await _move(newest)


async def stale() -> list[UUID]:
    """Orders whose stock has been held for too long: somebody must ask what became of them. Not given again for `AGAIN_SECONDS`."""
    return [row["order_id"] for row in await fetch("products", STALE)]


async def _move(settlements: dict[UUID, Settlement]) -> None:
    async with transaction("products"):
        rows = await fetch("products", LOCK, list(settlements))
        found = [(settlements[row["order_id"]], row["state"], row["version"]) for row in rows]
        due = [(one, was) for one, was, version in found if was == "HELD" or one.order_version > version]
        _complain(one for one, was in due if (was, one.target) not in STEPS and was != one.target)
        if steps := [(one, was) for one, was in due if (was, one.target) in STEPS]:
            await fetch("products", MOVE, *map(list, zip(*(_row(one, was) for one, was in steps), strict=True)))


def _row(one: Settlement, was: str) -> tuple[UUID, int, str, str, str | None]:
    """What `MOVE` needs to know: None for what came back means all."""
    back = one.returned if one.target == "SHIPPED" else {}
    return one.order_id, one.order_version, was, one.target, None if one.status == "returned" else orjson.dumps(back).decode()


def _complain(settlements: Iterable[Settlement]) -> None:
    """An order stands whose stock is not there for it, or the other way round: the fence was broken, and people must look."""
    for one in settlements:
        log.error(
            "the stock of an order contradicts it", extra={"order_id": str(one.order_id), "version": one.version, "status": one.status}
        )
