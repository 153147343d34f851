"""Importing orders of the past: each once, by its number in the other system, with its own time and prices. No stock moves.

What cancels an order that was imported whole is no order of its own: it leads that one to `cancelled`, at its own time. Any other
order with pieces taken back, such as a part of an order or of one that was never imported, stands for itself, with negative quantities.
So what was imported always adds up to what the lines say.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
import orjson

from soms.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, SomsError
from soms.events import OrderCancelled, OrderPlaced, traceparent
from soms.models.database import fetch, transaction
from soms.models.idempotency import fingerprint
from soms.models.order import ALLOWED, Action, Status
from soms.models.order_document import DOCUMENT, Document, document, order_event
from soms.models.outbox import append
from soms.past import PastOrder

# in the order of numbers, so that rival imports wait for each other instead of for good
CLAIM: Final = """
insert into import (external_number, fingerprint)
select * from unnest($1::text[], $2::bytea[]) as t (external_number, fingerprint) order by external_number
on conflict (external_number) do nothing
returning external_number, order_id::text, 'SO-' || nextval('order_number') as number
"""
STANDING: Final = "select external_number, fingerprint, order_id from import where external_number = any($1)"
PLACE: Final = """
with past as (
  select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::text[], $9::timestamptz[],
                       $10::text[])
    as t (id, number, external_number, external_user, email, currency, total, address, at, event)),
head as (
  insert into orders (id, number, external_number, external_user, email, status, currency, subtotal, total, shipping_address, version,
                      created_at, updated_at)
  select id, number, external_number, external_user, email, 'placed', currency, total, total, address::jsonb, 1, at, at from past),
line as (
  insert into order_line (order_id, position, sku, name, quantity, unit_price)
  select * from unnest($11::uuid[], $12::int[], $13::text[], $14::text[], $15::int[], $16::bigint[])),
entry as (
  insert into timeline (order_id, version, at, status_to, actor_type, actor_id) select id, 1, at, 'placed', 'staff', $17::text from past)
insert into outbox (type, topic, key, payload, traceparent)
select 'soms.order.placed.v1', 'soms.orders', id::text, event, $18::text from past
"""
LOCK: Final = "select 1 from orders where external_number = any($1) order by id for update"
UNDONE: Final = DOCUMENT + "where external_number = any($1)"
CANCEL: Final = """
with undone as (
  select * from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[]) as t (id, version, was, number, at)),
head as (update orders set status = 'cancelled', version = undone.version, updated_at = at from undone where orders.id = undone.id),
entry as (
  insert into timeline (order_id, version, at, status_from, status_to, actor_type, actor_id, note)
  select id, version, at, was, 'cancelled', 'staff', $6::text, number from undone)
update import set order_id = undone.id from undone where external_number = number
"""
FORGET: Final = "delete from import where external_number = any($1)"
NOWHERE: Final = {"name": "", "line1": "", "line2": "", "city": "", "region": "", "postal_code": "", "country": "", "phone": ""}


class Outcome(NamedTuple):
    """What became of one order: the id of what it made or undid, or else why it was refused."""

    order_id: str | None
    replayed: bool = False
    refusal: SomsError | None = None


async def import_orders(wanted: Sequence[PastOrder], staff: UUID) -> list[Outcome]:
    """Import these orders, in one transaction, in the name of `staff`; an order that is refused leaves nothing of itself.

    Refusals: `idempotency_mismatch` for a number that stands for another order, `invalid_transition` for cancelling what is no longer
    placed or paid, `too_large` for what no event could tell. Raises Unavailable: then nothing was imported.
    """
    said = [fingerprint("ImportOrders", order.model_dump(mode="json")) for order in wanted]
    first: dict[str, PastOrder] = {}
    prints: dict[str, bytes] = {}
    for order, print_ in zip(wanted, said, strict=True):
        first.setdefault(order.external_number, order)
        prints.setdefault(order.external_number, print_)
    async with transaction("orders"):
        claimed = {row["external_number"]: row for row in await fetch("orders", CLAIM, list(prints), list(prints.values()))}
        found = await fetch("orders", STANDING, [number for number in first if number not in claimed])
        made = await _make([order for number, order in first.items() if number in claimed], claimed, str(staff))
        await fetch("orders", FORGET, [number for number, outcome in made.items() if outcome.refusal])
    known = made | {row["external_number"]: Outcome(str(row["order_id"]), replayed=True) for row in found}
    prints |= {row["external_number"]: bytes(row["fingerprint"]) for row in found}
    outcomes = []
    for order, print_ in zip(wanted, said, strict=True):
        outcome = known[order.external_number]
        if print_ != prints[order.external_number]:
            outcome = Outcome(None, refusal=InvalidArgument("another order was imported by this number", reason="idempotency_mismatch"))
        elif order is not first[order.external_number] and not outcome.refusal:
            outcome = outcome._replace(replayed=True)
        outcomes.append(outcome)
    return outcomes


async def _make(orders: Sequence[PastOrder], claimed: Mapping[str, asyncpg.Record], staff: str) -> dict[str, Outcome]:
    """Make these orders, those first that cancel nothing, and cancel what the others undo."""
    made = await _place([order for order in orders if not order.cancels], claimed, staff)
    if cancelling := [order for order in orders if order.cancels]:
        named = list({order.cancels for order in cancelling})
        await fetch("orders", LOCK, named)
        undone = {row["external_number"]: document(row) for row in await fetch("orders", UNDONE, named)}
        whole = [order for order in cancelling if _undoes(order, undone.get(order.cancels or ""))]
        made |= await _place([order for order in cancelling if order not in whole], claimed, staff)
        made |= await _cancel(whole, undone, staff)
    return made


def _undoes(order: PastOrder, other: Document | None) -> bool:
    """Whether all of the other order is taken back, at the prices that it had."""
    if other is None or other["currency"] != order.currency:
        return False
    left = Counter[tuple[str, int]]()
    for line in other["lines"]:
        left[line["sku"], line["unit_price"]] += line["quantity"]
    for taken in order.lines:
        left[taken.sku, taken.unit_price] += taken.quantity
    return not any(left.values())


async def _place(orders: Iterable[PastOrder], claimed: Mapping[str, asyncpg.Record], staff: str) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}
    heads: list[tuple[Any, ...]] = []
    lines: list[tuple[Any, ...]] = []
    for order in orders:
        claim = claimed[order.external_number]
        made = _document(order, claim)
        try:
            heads.append(_head(made, order.placed_at, order_event(OrderPlaced, made).payload))
        except ResourceExhausted as refusal:
            outcomes[order.external_number] = Outcome(None, refusal=refusal)
            continue
        lines += [
            (made["id"], n, *(line[name] for name in ("sku", "name", "quantity", "unit_price"))) for n, line in enumerate(made["lines"], 1)
        ]
        outcomes[order.external_number] = Outcome(made["id"])
    if heads:
        await fetch("orders", PLACE, *zip(*heads, strict=True), *zip(*lines, strict=True), staff, traceparent.get())
    return outcomes


def _head(made: Document, at: dt.datetime, event: str) -> tuple[Any, ...]:
    members = ("id", "number", "external_number", "external_user", "email", "currency", "total")
    address = made["shipping_address"]
    return *(made[name] for name in members), address and orjson.dumps(address).decode(), at, event


def _document(order: PastOrder, claim: asyncpg.Record) -> Document:
    """The order as it will stand."""
    lines = [
        line.model_dump() | {"name": line.name or line.sku, "returned_quantity": 0, "total": line.quantity * line.unit_price}
        for line in order.lines
    ]
    at = order.placed_at.isoformat()
    return {
        "id": claim["order_id"],
        "number": claim["number"],
        "external_number": order.external_number,
        "external_user": order.external_user,
        "user_id": None,
        "email": order.email or "",
        "status": Status.PLACED.value,
        "currency": order.currency,
        "lines": lines,
        "subtotal": order.total,
        "total": order.total,
        "shipping_address": NOWHERE | {"name": order.name or "", "country": order.country or ""} if order.name or order.country else None,
        "note": None,
        "version": 1,
        "created_at": at,
        "updated_at": at,
    }


async def _cancel(orders: Iterable[PastOrder], undone: dict[str, Document], staff: str) -> dict[str, Outcome]:
    outcomes, steps, events = dict[str, Outcome](), list[tuple[Any, ...]](), list[OrderCancelled]()
    for order in orders:
        before = undone[order.cancels or ""]
        if Action.CANCEL not in ALLOWED[Status(before["status"])]:
            message = f"cannot cancel an order that is {before['status']}"
            outcomes[order.external_number] = Outcome(None, refusal=FailedPrecondition(message, reason="invalid_transition"))
            continue
        at = order.placed_at.isoformat()
        after = before | {"status": Status.CANCELLED.value, "version": before["version"] + 1, "updated_at": at}
        undone[order.cancels or ""] = after
        steps.append((before["id"], after["version"], before["status"], order.external_number, order.placed_at))
        events.append(order_event(OrderCancelled, after, reason=order.external_number))
        outcomes[order.external_number] = Outcome(before["id"])
    if steps:
        await fetch("orders", CANCEL, *zip(*steps, strict=True), staff)
        await append("orders", *events)
    return outcomes
