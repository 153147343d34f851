"""The inbox: an event takes effect once per consumer, however often it is delivered. Its row and its effect are one transaction."""

from collections.abc import Awaitable, Callable
from typing import Final

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
RECEIVE: Final = "insert into inbox (consumer, event_id, digest) values ($1, $2, $3) on conflict do nothing returning true"
RECEIVED: Final = "select digest from inbox where consumer = $1 and event_id = $2"


async def once_per_event(schema: str, consumer: str, envelope: Envelope, effect: Callable[[], Awaitable[None]]) -> bool:
    """Do `effect` unless `consumer` did so for this event before; tells whether it was done now.

    A rival with the same event waits for this transaction. Raises InvalidArgument, reason `event_id_reused`, where the id belongs to
    an event of another value.
    """
    async with transaction(schema):
        if await fetch(schema, RECEIVE, consumer, envelope.id, envelope.digest):
            await effect()
            return True
        [row] = await fetch(schema, RECEIVED, consumer, envelope.id)
    if row["digest"] != envelope.digest:
        raise InvalidArgument(f"event {envelope.id} was received before with another value", reason="event_id_reused")
    return False
