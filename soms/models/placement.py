"""Placing orders: the key is looked up, stock is reserved elsewhere, then one statement makes a whole round of orders durable.

An order's id is derived from its account and key, so that any retry on any instance works on the same id. The attempt fence (PLACED or
ABANDONED, whichever is first) keeps a late placement and the release of its stock apart, whatever clocks and pauses do. An attempt that
was abandoned before it was answered leaves its key usable: the next attempt has an id of its own.
"""

import datetime as dt
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from soms.errors import Aborted, SomsError
from soms.events import OrderPlaced
from soms.models.database import fetch
from soms.models.idempotency import Answer, fingerprint, refusal, replay
from soms.models.order import Status
from soms.models.order_document import Document, order_event, read

ATTEMPTS = 16
LOOK_UP = """
select i.fingerprint, i.answer, a.state, now() as now, case when i.key is null then nextval('order_number') end as number
  from unnest($1::uuid[], $2::text[], $3::uuid[]) with ordinality as asked (user_id, key, order_id, position)
  left join idempotency i using (user_id, key) left join attempt a using (order_id)
 order by position
"""
PLACE = """
with placed as (
  select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::timestamptz[],
                       $10::text[], $11::bytea[], $12::text[], $13::text[], $14::text[])
    as t (id, number, user_id, email, currency, total, address, note, at, key, fingerprint, answer, event, traceparent)),
fence as (insert into attempt (order_id, state) select id, 'PLACED' from placed),
head as (
  insert into orders
    (id, number, user_id, email, status, currency, subtotal, total, shipping_address, note, version, created_at, updated_at)
  select id, number, user_id, email, 'placed', currency, total, total, address::jsonb, note, 1, at, at from placed),
line as (
  insert into order_line (order_id, position, sku, name, quantity, unit_price)
  select * from unnest($15::uuid[], $16::int[], $17::text[], $18::text[], $19::int[], $20::bigint[])),
entry as (
  insert into timeline (order_id, version, at, status_to, actor_type, actor_id)
  select id, 1, at, 'placed', 'customer', user_id::text from placed),
kept as (insert into idempotency (user_id, key, fingerprint, answer) select user_id, key, fingerprint, answer from placed)
insert into outbox (type, topic, key, payload, traceparent)
select 'soms.order.placed.v1', 'soms.orders', id::text, event, traceparent from placed
"""
REFUSE = """
with refused as (
  select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::bytea[], $5::text[]) as t (id, user_id, key, fingerprint, answer)),
fence as (insert into attempt (order_id, state) select id, 'ABANDONED' from refused)
insert into idempotency (user_id, key, fingerprint, answer) select user_id, key, fingerprint, answer from refused
"""
ABANDON = "insert into attempt (order_id, state) values ($1, 'ABANDONED') on conflict do nothing"
STATE = "select state from attempt where order_id = $1"


@dataclass(frozen=True)
class Placement:
    """What a customer asks for: `lines` are SKU and pieces, each SKU once, sorted by SKU."""

    user_id: UUID
    email: str
    key: str
    lines: tuple[tuple[str, int], ...]
    shipping_address: dict[str, str] | None = None
    note: str | None = None
    request_id: str | None = None
    traceparent: str | None = None

    @cached_property
    def fingerprint(self) -> bytes:
        """The same for requests that mean the same."""
        return fingerprint("PlaceOrder", [self.lines, self.shipping_address, self.note])


@dataclass(frozen=True)
class ReservedLine:
    """A line whose stock is held, with name and price (minor units) as of then."""

    sku: str
    quantity: int
    name: str
    unit_price: int
    currency: str


@dataclass
class Draft:
    """An order on its way: its id, number and moment, and its lines once they are reserved."""

    placement: Placement
    order_id: UUID
    number: str
    at: dt.datetime
    lines: list[ReservedLine] = field(default_factory=list)

    @cached_property
    def document(self) -> Document:
        """The order as it is placed and answered."""
        lines = [
            {
                "sku": line.sku,
                "name": line.name,
                "quantity": line.quantity,
                "returned_quantity": 0,
                "unit_price": line.unit_price,
                "total": line.quantity * line.unit_price,
            }
            for line in self.lines
        ]
        total = sum(line.quantity * line.unit_price for line in self.lines)
        at = self.at.isoformat()
        return {
            "id": str(self.order_id),
            "number": self.number,
            "external_number": None,
            "external_user": None,
            "user_id": str(self.placement.user_id),
            "email": self.placement.email,
            "status": Status.PLACED.value,
            "currency": self.lines[0].currency,
            "lines": lines,
            "subtotal": total,
            "total": total,
            "shipping_address": self.placement.shipping_address,
            "note": self.placement.note,
            "version": 1,
            "created_at": at,
            "updated_at": at,
        }

    @property
    def event(self) -> OrderPlaced:
        """What Kafka hears of it."""
        return order_event(OrderPlaced, self.document)


def order_id(secret: bytes, user_id: UUID, key: str, attempt: int = 0) -> UUID:
    """The id of the `attempt`-th try of an account's key: a UUIDv8 (RFC 9562) of 122 bits of an HMAC-SHA-256."""
    digest = bytearray(hmac.digest(secret, b"%b:%d:%b" % (user_id.bytes, attempt, key.encode()), "sha256")[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))


Outcome = Draft | Answer | SomsError


async def look_up(secret: bytes, placements: Sequence[Placement]) -> list[Outcome]:
    """For each placement the answer that stands, or a draft to go on with, or what is wrong with its key."""
    outcomes: dict[int, Outcome] = {}
    for attempt in range(ATTEMPTS):
        open_ = [n for n in range(len(placements)) if n not in outcomes]
        if not open_:
            break
        ids = [order_id(secret, placements[n].user_id, placements[n].key, attempt) for n in open_]
        rows = await fetch("orders", LOOK_UP, [placements[n].user_id for n in open_], [placements[n].key for n in open_], ids)
        for n, identity, row in zip(open_, ids, rows, strict=True):
            outcome = await _found(placements[n], identity, row)
            if outcome is not None:
                outcomes[n] = outcome
    spent = Aborted("this idempotency key is spent; use a new one", reason="in_flight", retry_after=1)
    return [outcomes.get(n, spent) for n in range(len(placements))]


async def _found(placement: Placement, identity: UUID, row: asyncpg.Record) -> Outcome | None:
    """The outcome that a look-up's row shows; None where the attempt was abandoned without an answer."""
    if row["fingerprint"] is not None:
        try:
            return replay(row, placement.fingerprint)
        except SomsError as error:
            return error
    if row["state"] == "PLACED":
        return Answer(await read(identity), replayed=True)
    return None if row["state"] == "ABANDONED" else Draft(placement, identity, f"SO-{row['number']}", row["now"])


class RivalError(Exception):
    """A copy of one of these orders was faster, or its attempt was abandoned; nothing of the round was stored."""


async def place(drafts: Sequence[Draft]) -> None:
    """Make these orders durable, all or none. Raises RivalError."""
    lines = [(draft.order_id, n, line) for draft in drafts for n, line in enumerate(draft.lines, 1)]
    heads = list(zip(*map(_head, drafts), strict=True))
    positions = list(zip(*((identity, n, line.sku, line.name, line.quantity, line.unit_price) for identity, n, line in lines), strict=True))
    await _first(PLACE, *heads, *positions)


def _head(draft: Draft) -> tuple[Any, ...]:
    placement, document = draft.placement, draft.document
    address = placement.shipping_address and orjson.dumps(placement.shipping_address).decode()
    head = (
        draft.order_id,
        draft.number,
        placement.user_id,
        placement.email,
        document["currency"],
        document["total"],
        address,
        placement.note,
    )
    answer = orjson.dumps(document).decode()
    return *head, draft.at, placement.key, placement.fingerprint, answer, draft.event.payload, placement.traceparent


async def refuse(refused: Sequence[tuple[Draft, SomsError]]) -> None:
    """Keep refusals as the answers of their keys and close their attempts, all or none; raises as `place` does."""
    rows = [
        (
            d.order_id,
            d.placement.user_id,
            d.placement.key,
            d.placement.fingerprint,
            orjson.dumps(refusal(e, d.placement.request_id)).decode(),
        )
        for d, e in refused
    ]
    await _first(REFUSE, *zip(*rows, strict=True))


async def _first(statement: str, *columns: Any) -> None:
    try:
        await fetch("orders", statement, *columns)
    except asyncpg.UniqueViolationError as cause:
        raise RivalError from cause


async def resolve(identity: UUID) -> Document | None:
    """The order that stands under this id; where none does, none ever will."""
    await fetch("orders", ABANDON, identity)
    (row,) = await fetch("orders", STATE, identity)
    return await read(identity) if row["state"] == "PLACED" else None
