"""Placing orders: the key is looked up, stock is reserved elsewhere, then one statement makes a whole round of orders durable.

An order's id is derived from its account and key, so that any retry on any instance works on the same id. The attempt fence (PLACED or
ABANDONED, whichever is first) keeps a late placement and the release of its stock apart, whatever clocks and pauses do. An attempt that
was abandoned before it was answered leaves its key usable: the next attempt has an id of its own.
"""

import hmac
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from soms.errors import Aborted, SomsError
from soms.models.database import fetch
from soms.models.draft import Draft, Placement
from soms.models.idempotency import Answer, refusal, replay
from soms.models.order_document import Document, read

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
                       $10::text[], $11::bytea[], $12::text[], $13::text[], $14::text[], $15::uuid[], $16::text[], $17::text[])
    as t (id, number, user_id, email, currency, total, address, note, at, key, fingerprint, answer, event, traceparent,
          customer, actor, reason)),
fence as (insert into attempt (order_id, state) select id, 'PLACED' from placed),
head as (
  insert into orders
    (id, number, user_id, email, status, currency, subtotal, total, shipping_address, note, version, created_at, updated_at)
  select id, number, customer, email, 'placed', currency, total, total, address::jsonb, note, 1, at, at from placed),
line as (
  insert into order_line (order_id, position, sku, name, quantity, unit_price)
  select * from unnest($18::uuid[], $19::int[], $20::text[], $21::text[], $22::int[], $23::bigint[])),
entry as (
  insert into timeline (order_id, version, at, status_to, actor_type, actor_id, note)
  select id, 1, at, 'placed', actor, user_id::text, reason from placed),
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
    lines = [(draft.order_id, n, line) for draft in drafts for n, line in enumerate(draft.priced, 1)]
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
    answer, entry = orjson.dumps(document).decode(), placement.entry
    said = (placement.key, placement.fingerprint, answer, draft.event.payload, placement.traceparent)
    return *head, draft.at, *said, draft.customer, "staff" if entry else "customer", entry and entry.reason


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
