"""Which webhooks hear of an event, and how each of them fares: rest after a failure, pause after failing for long. Sends nothing.

A webhook that fails rests, longer each time, so that its deadlines hold up nobody else; whatever waits for it waits with it.
"""

import datetime as dt
from collections.abc import Sequence
from typing import Final, NamedTuple
from uuid import UUID

import asyncpg
import orjson

from soms.envelope import Envelope
from soms.errors import FailedPrecondition
from soms.events import OrderEvent
from soms.models.database import fetch, transaction
from soms.models.notification import Channel, Status
from soms.models.notification_plan import FRESH, Planned
from soms.subscription import ALL, HEARD

LONGEST_REST_SECONDS: Final = 300
# a webhook is paused when all of so many attempts failed, over so long
FAILURES: Final = 10
FAILING: Final = dt.timedelta(days=5)

LISTENING: Final = "select id::text, url, resting_until, event_types from webhook where active and event_types && $1::text[] order by id"
TARGET: Final = """
select url, active, secret, case when previous_until > now() then previous_secret end as previous from webhook where id = $1
"""
RECOVERED: Final = "update webhook set failures = 0, failing_since = null, resting_until = null where id = $1 and failures > 0"
# attempts that were under way when another failed say nothing new
FAILED: Final = f"""
update webhook set failures = failures + 1, failing_since = coalesce(failing_since, now()),
       resting_until = now() + make_interval(secs => least(power(2, least(failures, 20)), {LONGEST_REST_SECONDS}))
 where id = $1 and active and coalesce(resting_until <= now(), true)
returning failures >= $2 and failing_since <= now() - $3::interval as hopeless
"""
REST: Final = "select extract(epoch from resting_until - now())::float8 as seconds, resting_until from webhook where id = $1"
WAIT: Final = """
update notification set next_attempt_at = $2
 where channel = 'webhook' and status in ('pending', 'held') and payload ->> 'webhook_id' = $1 and next_attempt_at < $2
"""
PAUSE: Final = "update webhook set active = false, paused_reason = $2, version = version + 1 where id = $1 and active"
FORGET: Final = """
update notification set payload = null, next_attempt_at = null,
       status = case when status in ('pending', 'held') then 'suppressed' else status end
 where channel = 'webhook' and payload is not null and payload -> 'event' ->> 'user_id' = $1
"""


class Target(NamedTuple):
    """Where a webhook is and what signs for it: its secret, and while both hold the one before."""

    url: str
    secrets: tuple[str, ...]


async def plan(envelopes: Sequence[Envelope], now: dt.datetime) -> list[list[Planned]]:
    """For each event, a notification for each webhook that hears of it. Imported orders and what is too old are news to nobody."""
    types = {one.type for one in envelopes if _is_news(one, now)}
    rows = await fetch("notifications", LISTENING, [ALL, *types]) if types else []
    return [_planned(one, [row for row in rows if {ALL, one.type} & set(row["event_types"])], now) for one in envelopes]


def _is_news(envelope: Envelope, now: dt.datetime) -> bool:
    event = envelope.event
    imported = isinstance(event, OrderEvent) and event.external_number
    return not (event is None or imported or envelope.type not in HEARD or envelope.time + FRESH < now)


def _planned(envelope: Envelope, rows: Sequence[asyncpg.Record], now: dt.datetime) -> list[Planned]:
    if not rows or envelope.event is None or not _is_news(envelope, now):
        return []
    told = {"event": envelope.event.model_dump(mode="json"), "at": envelope.time, "until": None}
    return [
        Planned(
            None,
            Channel.WEBHOOK,
            row["url"],
            Status.PENDING,
            max(now, row["resting_until"] or now),
            orjson.dumps(told | {"webhook_id": row["id"]}, option=orjson.OPT_UTC_Z).decode(),
        )
        for row in rows
    ]


async def target(webhook_id: UUID) -> Target:
    """Where to send to. Raises FailedPrecondition where nothing is to be sent any more."""
    rows = await fetch("notifications", TARGET, webhook_id)
    if not rows:
        raise FailedPrecondition("the webhook is removed")
    if not rows[0]["active"]:
        raise FailedPrecondition("the webhook is paused")
    return Target(rows[0]["url"], tuple(filter(None, (rows[0]["secret"], rows[0]["previous"]))))


async def succeeded(webhook_id: UUID) -> None:
    """It took something: it is well."""
    await fetch("notifications", RECOVERED, webhook_id)


async def failed(webhook_id: UUID, failures: int = FAILURES, failing: dt.timedelta = FAILING) -> float:
    """It took nothing: have it rest, or pause it after so many `failures` in so long a time. For how many seconds it rests."""
    async with transaction("notifications"):
        counted = await fetch("notifications", FAILED, webhook_id, failures, failing)
        if counted and counted[0]["hopeless"]:
            await pause(webhook_id, f"every attempt failed for {failing.total_seconds() / 86400:g} days")
        rows = await fetch("notifications", REST, webhook_id)
        if not rows or rows[0]["resting_until"] is None:
            return 0
        if counted:
            await fetch("notifications", WAIT, str(webhook_id), rows[0]["resting_until"])
        seconds: float = rows[0]["seconds"]
        return max(0.0, seconds)


async def pause(webhook_id: UUID, reason: str) -> None:
    """Send it nothing more until somebody resumes it; what waits for it is given up when its time comes."""
    await fetch("notifications", PAUSE, webhook_id, reason)


async def forget(user_id: UUID) -> None:
    """Erase what was or will be told of somebody."""
    await fetch("notifications", FORGET, str(user_id))
