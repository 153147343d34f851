"""Bringing held stock to where its order stands: allocated, shipped, returned, or released.

A settlement says where an order stands, not what happened to it, so settlements may be repeated, lost but for the last, and out of order.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from soms.models.database import fetch, transaction
from soms.values import MAXIMUM_QUANTITY, Sku

Status = Literal["placed", "paid", "shipped", "delivered", "returned", "cancelled", "abandoned"]

log = logging.getLogger(__name__)

STALE_BATCH = 100
# a stale reservation whose order could not be asked about is left alone this long, so that it does not keep others from being asked
AGAIN_SECONDS = 30
# Where a reservation is brought by each status of its order. The first is the crowd: it moves no stock.
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

ALLOCATE = """
with target as (select * from unnest($1::uuid[], $2::bigint[]) as t (order_id, version)),
due as materialized (
  select order_id, state, target.version from reservation r join target using (order_id)
   where state = 'HELD' or (state = 'RELEASED' and r.version < target.version) order by order_id for no key update of r),
allocated as (
  update reservation r set state = 'ALLOCATED', version = due.version from due where r.order_id = due.order_id and due.state = 'HELD')
select order_id from due where state = 'RELEASED'
"""
LOCK = "select order_id, state, version from reservation where order_id = any($1) order by order_id for no key update"
# Reservations are locked by a statement of their own, so that this one sees their lines as they are then. All that touches stock reads
# `locked`, for a statement runs its parts in whatever order it likes, but for what one needs of another.
MOVE = """
with target as (
  select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::boolean[]) as t (order_id, version, was, state, whole)),
back as (select * from unnest($6::uuid[], $7::text[], $8::int[]) as b (order_id, sku, returned)),
line as materialized (
  select order_id, sku,
         case when was = 'SHIPPED' then 0 else quantity end as freed,
         case when was <> 'SHIPPED' and state = 'SHIPPED' then quantity else 0 end as shipped,
         case when state = 'SHIPPED' and whole then quantity - returned_quantity
              when state = 'SHIPPED' then greatest(least(quantity, coalesce(back.returned, 0)) - returned_quantity, 0) else 0 end as returned
    from target join reservation_line using (order_id) left join back using (order_id, sku) where state <> 'ALLOCATED'),
locked as materialized (
  select sku, on_hand from stock where sku in (select sku from line where freed + returned > 0) order by sku for no key update),
moved as (
  insert into movement (sku, kind, delta, on_hand, order_id)
  select sku, kind, delta, on_hand + sum(delta) over (partition by sku order by order_id, kind desc), order_id
    from line join locked using (sku) cross join lateral (values ('shipped', -shipped), ('returned', line.returned)) as m (kind, delta)
   where delta <> 0 order by sku, order_id, kind desc),
changed as (
  update stock set on_hand = on_hand + came, reserved = reserved - freed, version = version + 1
    from (select sku, sum(returned - shipped)::int as came, sum(freed)::int as freed from line join locked using (sku) group by sku) as l
   where stock.sku = l.sku),
counted as (
  update reservation_line r set returned_quantity = returned_quantity + line.returned
    from line where r.order_id = line.order_id and r.sku = line.sku and line.returned > 0)
update reservation set state = target.state, version = target.version from target where reservation.order_id = target.order_id
"""
STALE = f"""
with stale as (
  select order_id from reservation where state = 'HELD' and expires_at < now()
   order by expires_at limit {STALE_BATCH} for no key update skip locked)
update reservation r set expires_at = now() + interval '{AGAIN_SECONDS} seconds' from stale where r.order_id = stale.order_id
returning r.order_id
"""


@dataclass(frozen=True, slots=True)
class Settlement:
    """Where an order stands in its `version`; `returned` maps SKU to pieces back so far, all returns together."""

    order_id: UUID
    version: Annotated[int, Field(ge=0)]
    status: Status
    returned: dict[Sku, Annotated[int, Field(ge=0, le=MAXIMUM_QUANTITY)]] = field(default_factory=dict)

    @property
    def order_version(self) -> int:
        """The order's version; an order that never came to be has none."""
        return 0 if self.status == "abandoned" else self.version

    @property
    def target(self) -> str:
        """The state of the reservation that goes with it."""
        return TARGETS[self.status]


async def settle(settlements: Iterable[Settlement]) -> None:
    """Bring the reservations of these orders to where the orders stand; unknown orders and outdated settlements change nothing."""
    newest: dict[UUID, Settlement] = {}
    for one in settlements:
        if one.order_id not in newest or newest[one.order_id].order_version < one.order_version:
            newest[one.order_id] = one
    if all(one.target == "ALLOCATED" for one in newest.values()):
        released = await fetch("products", ALLOCATE, list(newest), [one.version for one in newest.values()])
        _complain(newest[row["order_id"]] for row in released)
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
            await fetch("products", MOVE, *_columns(steps))


def _columns(steps: list[tuple[Settlement, str]]) -> list[list[Any]]:
    heads = [(one.order_id, one.order_version, was, one.target, one.status == "returned") for one, was in steps]
    back = [(one.order_id, sku, pieces) for one, _ in steps for sku, pieces in one.returned.items()]
    return [list(column) for column in (*zip(*heads, strict=True), *(zip(*back, strict=True) if back else ([], [], [])))]


def _complain(settlements: Iterable[Settlement]) -> None:
    """An order stands whose stock is not there for it, or the other way round: the fence was broken, and people must look."""
    for one in settlements:
        log.error(
            "the stock of an order contradicts it", extra={"order_id": str(one.order_id), "version": one.version, "status": one.status}
        )
