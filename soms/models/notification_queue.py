"""Notifications on their way: adding, claiming under a lease, recording attempts. A row says all; no worker remembers anything.

A lease is a time: until then nobody else sends the message. Whoever dies with it has it sent again by another.
"""

import datetime as dt
import enum
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg
import orjson

from soms.errors import InvalidArgument
from soms.models.database import fetch
from soms.models.notification import Channel, Status
from soms.models.notification_plan import SECRET, TOLD, Contact, Planned, standing

LEASE_SECONDS: Final = 30
ATTEMPTS: Final = 8
FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 3600.0
# eight attempts then take up to 83 minutes
GROWTH: Final = 4
# who looks after a webhook may be away for a weekend: ten attempts take up to three days
WEBHOOK_PAUSES_SECONDS: Final = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
LONGEST_DETAIL: Final = 500
PAYLOAD_DAYS: Final = 30
PRUNED: Final = 1000

ADD: Final = """
insert into notification (event_id, event_type, order_id, user_id, channel, recipient, status, next_attempt_at, payload)
select * from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::timestamptz[], $9::jsonb[])
on conflict (event_id, channel, recipient) do nothing
"""
# What is told of an order by one channel goes in the order in which it happened: a later message waits for an earlier one.
CLAIM: Final = f"""
update notification set status = 'pending', tries = tries + 1, next_attempt_at = now() + interval '{LEASE_SECONDS} seconds'
 where id = any(array(
   select id from notification one
    where channel = $1 and status in ('pending', 'held') and next_attempt_at <= now()
      and not exists (
        select from notification earlier
         where earlier.order_id = one.order_id and earlier.channel = one.channel and earlier.status in ('pending', 'held')
           and earlier.id < one.id and earlier.recipient = one.recipient)
    order by next_attempt_at limit $2 for no key update skip locked))
returning id, event_id, event_type, order_id, channel, recipient, tries, rounds, payload, created_at
"""
# who lost the lease may still say that the message is sent, for it is
RECORD: Final = """
update notification set status = $5, next_attempt_at = now() + make_interval(secs => $6),
       attempts = attempts || jsonb_build_object('at', now(), 'outcome', $3::text, 'detail', $4::text),
       sent_at = case when $5 = 'sent' then now() else sent_at end, payload = case when $7 then null else payload end
 where id = $1 and status = 'pending' and (tries = $2 or $5 = 'sent')
returning 1
"""
RELEASE: Final = """
update notification set next_attempt_at = now(), tries = notification.tries - 1 from unnest($1::uuid[], $2::int[]) as mine (id, tries)
 where notification.id = mine.id and notification.tries = mine.tries and status = 'pending'
"""
UNBURIED: Final = """
select id, event_id, event_type, order_id, channel, recipient, attempts, created_at from notification
 where status = 'failed' and dead_lettered_at is null order by id limit $1
"""
BURIED: Final = "update notification set dead_lettered_at = now() where id = any($1) and status = 'failed'"
FORGET: Final = """
update notification set recipient = 'anonymised:' || user_id, payload = null, next_attempt_at = null,
       status = case when status in ('pending', 'held') then 'suppressed' else status end,
       attempts = (select coalesce(jsonb_agg(one - 'detail' || '{"detail": null}'), '[]') from jsonb_array_elements(attempts) as one)
 where user_id = $1
"""
HELD: Final = "select id, event_type, channel from notification where user_id = $1 and status = 'held'"
REPLAN: Final = """
update notification set status = new.status, next_attempt_at = new.due, payload = case when new.due is null then null else payload end
  from unnest($1::uuid[], $2::text[], $3::timestamptz[]) as new (id, status, due)
 where notification.id = new.id and notification.status = 'held'
"""
PRUNE: Final = f"""
update notification set payload = null where id = any(array(
  select id from notification where payload is not null and created_at < now() - interval '{PAYLOAD_DAYS} days'
     and status not in ('pending', 'held') limit {PRUNED}))
"""


class Outcome(enum.StrEnum):
    """How an attempt ended: the recipient's server has it; it may have it later; it will never take it."""

    SENT = "sent"
    FAILED = "failed"
    REFUSED = "refused"


class Told(NamedTuple):
    """What is to be told of an event."""

    event_id: UUID
    event_type: str
    order_id: UUID | None
    planned: Sequence[Planned]


@dataclass(frozen=True)
class Due:
    """A notification to be sent now, by whoever holds this. `key` stays the same over all attempts, so that a provider knows it again."""

    id: UUID
    event_id: UUID
    event_type: str
    order_id: UUID | None
    channel: Channel
    recipient: str
    tries: int
    rounds: int
    payload: dict[str, Any]
    created_at: dt.datetime

    @property
    def key(self) -> str:
        """Its id, and another one where what had arrived is to arrive once more."""
        return f"{self.id}.{self.rounds}" if self.rounds else str(self.id)

    @property
    def late(self) -> bool:
        """Whether it is of no use any more."""
        until = self.payload["until"]
        return bool(until) and dt.datetime.fromisoformat(until) < dt.datetime.now(dt.UTC)


async def add(*told: Told) -> None:
    """Keep notifications of events, in the transaction under way; those there are already stay.

    Raises InvalidArgument for what no database keeps.
    """
    rows = [(one.event_id, one.event_type, one.order_id, *planned) for one in told for planned in one.planned]
    if not rows:
        return
    try:
        await fetch("notifications", ADD, *map(list, zip(*rows, strict=True)))
    except asyncpg.DataError as cause:
        raise InvalidArgument(f"this cannot be kept: {cause}", reason="unreadable") from cause


async def due(channel: Channel, limit: int) -> list[Due]:
    """Claim what is to be sent now, oldest first; nobody else gets it for `LEASE_SECONDS`."""
    rows = await fetch("notifications", CLAIM, channel, limit)
    return sorted(map(_due, rows), key=lambda one: one.id)


async def record(one: Due, outcome: Outcome, detail: str, *, retry_seconds: float = 0) -> Status:
    """Keep what came of an attempt and decide what follows; `retry_seconds` is how long the recipient's server wants us to wait."""
    status, pause = _next(one, outcome, retry_seconds)
    erase = status != Status.PENDING and one.event_type in SECRET
    await fetch("notifications", RECORD, one.id, one.tries, outcome, _plain(detail), status, pause, erase)
    return status


async def release(claimed: Sequence[Due]) -> None:
    """Give back what was claimed and not tried."""
    if claimed:
        await fetch("notifications", RELEASE, [one.id for one in claimed], [one.tries for one in claimed])


async def unburied(limit: int) -> list[asyncpg.Record]:
    """Notifications that were given up and are not among the dead letters yet."""
    return await fetch("notifications", UNBURIED, limit)


async def buried(ids: Sequence[UUID]) -> None:
    """These are among the dead letters now."""
    await fetch("notifications", BURIED, list(ids))


async def forget(user_id: UUID) -> None:
    """Forget where somebody was reached and what they were told; send them nothing more."""
    await fetch("notifications", FORGET, user_id)


async def held(user_id: UUID) -> list[asyncpg.Record]:
    """What waits for the end of somebody's quiet hours."""
    return await fetch("notifications", HELD, user_id)


async def replan(rows: Sequence[asyncpg.Record], contact: Contact, now: dt.datetime) -> None:
    """Have what waits follow the wishes of its reader as they are now."""
    wanted = [(row["id"], *standing(contact, TOLD[row["event_type"]], Channel(row["channel"]), now)) for row in rows]
    if wanted:
        await fetch("notifications", REPLAN, *map(list, zip(*wanted, strict=True)))


async def prune() -> None:
    """Erase payloads of long ago, a bounded number."""
    await fetch("notifications", PRUNE)


def pause_seconds(tries: int, channel: Channel | None = None) -> float:
    """How long to wait after so many attempts: full jitter under a bound that grows fourfold; webhooks have a plan of their own."""
    if channel is Channel.WEBHOOK:
        return WEBHOOK_PAUSES_SECONDS[tries - 1] * random.uniform(0.75, 1)  # noqa: S311 - spreads load
    return random.uniform(0, min(FIRST_PAUSE_SECONDS * GROWTH ** (tries - 1), LONGEST_PAUSE_SECONDS))  # noqa: S311 - spreads load


def _next(one: Due, outcome: Outcome, retry_seconds: float) -> tuple[Status, float | None]:
    if outcome is Outcome.SENT:
        return Status.SENT, None
    attempts = len(WEBHOOK_PAUSES_SECONDS) + 1 if one.channel is Channel.WEBHOOK else ATTEMPTS
    if outcome is Outcome.REFUSED or one.tries >= attempts:
        return Status.FAILED, None
    return Status.PENDING, max(pause_seconds(one.tries, one.channel), min(retry_seconds, LONGEST_PAUSE_SECONDS))


def _due(row: asyncpg.Record) -> Due:
    return Due(**dict(row) | {"channel": Channel(row["channel"]), "payload": orjson.loads(row["payload"])})


def _plain(detail: str) -> str:
    """Text for people, without what no database keeps."""
    return "".join(sign if sign.isprintable() else " " for sign in detail)[:LONGEST_DETAIL]
