"""The inbox: an event takes effect once per consumer, however often it is delivered. Its row and its effect are one transaction."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from uuid import UUID

from soms.envelope import Envelope
from soms.errors import InvalidArgument
from soms.models.database import fetch, transaction

# Each schema that consumes has this table by a migration of its own, in SQL: Tortoise knows no key of two columns. Rows are kept for good,
# for the orders' topic is too, and may be read again from its beginning.
TABLE: Final = """
create table inbox (
  consumer varchar(40) not null, event_id uuid not null, digest bytea not null, handled_at timestamptz not null default now(),
  primary key (consumer, event_id))
"""
# in the order of ids, so that rivals with the same events wait for each other one way round alone
RECEIVE: Final = """
insert into inbox (consumer, event_id, digest) select $1, * from unnest($2::uuid[], $3::bytea[]) as t (event_id, digest) order by event_id
on conflict do nothing returning event_id
"""
RECEIVED: Final = "select event_id, digest from inbox where consumer = $1 and event_id = any($2)"


async def receive(schema: str, consumer: str, envelopes: Sequence[Envelope]) -> list[bool | InvalidArgument]:
    """Note in the transaction under way that `consumer` has these events; tells for each whether it is new.

    A rival with one of them waits for this transaction. InvalidArgument, reason `event_id_reused`, stands for an event whose id belongs
    to one of another value.
    """
    rows = await fetch(schema, RECEIVE, consumer, [one.id for one in envelopes], [one.digest for one in envelopes])
    new = {row["event_id"] for row in rows}
    digests: dict[UUID, bytes] = {}
    if len(new) < len(envelopes):
        rows = await fetch(schema, RECEIVED, consumer, [one.id for one in envelopes])
        digests = {row["event_id"]: row["digest"] for row in rows}
    return [_verdict(one, new, digests) for one in envelopes]


async def once_per_event(schema: str, consumer: str, envelope: Envelope, effect: Callable[[], Awaitable[None]]) -> bool:
    """Do `effect` unless `consumer` did so for this event before; tells whether it was done now.

    A rival with the same event waits for this transaction. Raises InvalidArgument, reason `event_id_reused`, where the id belongs to
    an event of another value.
    """
    async with transaction(schema):
        [new] = await receive(schema, consumer, [envelope])
        if new is True:
            await effect()
    if isinstance(new, InvalidArgument):
        raise new
    return new


def _verdict(envelope: Envelope, new: set[UUID], digests: dict[UUID, bytes]) -> bool | InvalidArgument:
    """Of copies in one batch the first one is new, if any."""
    if digests.get(envelope.id, envelope.digest) != envelope.digest:
        return InvalidArgument(f"event {envelope.id} was received before with another value", reason="event_id_reused")
    if envelope.id in new:
        new.remove(envelope.id)
        return True
    return False
