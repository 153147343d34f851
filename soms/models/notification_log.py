"""What was told to whom, and how it went, for those who ask; and telling it again."""

from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import orjson

from soms.errors import FailedPrecondition, NotFound
from soms.models import paging
from soms.models.database import fetch
from soms.models.notification import Channel, Status

ITEM = """
select id::text, event_id::text, event_type, order_id::text, channel, recipient, status, attempts::text, next_attempt_at,
       created_at, sent_at
  from notification
"""
AGAIN = """
update notification set status = 'pending', tries = 0, rounds = rounds + (status = 'sent')::int, next_attempt_at = now(),
       dead_lettered_at = null
 where id = $1 and status in ('sent', 'failed') and payload is not null returning 1
"""
STANDING = "select status from notification where id = $1"


class Filter(NamedTuple):
    """Which notifications: of an order, in a status, by a channel, to a person."""

    order_id: UUID | None = None
    status: Status | None = None
    channel: Channel | None = None
    user_id: UUID | None = None


async def page(wanted: Filter, page_size: int, page_token: str) -> tuple[list[dict[str, Any]], str]:
    """A page of notifications as documents (members of rest.md), newest first, and the token of the next. Raises InvalidArgument."""
    limit = paging.size(page_size)
    (seen,) = paging.position(page_token, UUID) or (None,)
    given = {name: value for name, value in wanted._asdict().items() if value is not None}
    # conditions are written for what is asked alone, so that each finds its index
    conditions = [f"{name} = ${place}" for place, name in enumerate(given, start=1)]
    if seen:
        conditions.append(f"id < ${len(given) + 1}")
    where = f"where {' and '.join(conditions)}" if conditions else ""
    values = [*given.values(), *([seen] if seen else [])]
    rows = await fetch("notifications", f"{ITEM} {where} order by notification.id desc limit {limit + 1}", *values)
    shown, token = paging.page(rows, limit, "id")
    return [_document(row) for row in shown], token


async def redeliver(notification_id: UUID) -> None:
    """Have one sent again, with all its attempts; one on its way goes on. The provider sees one that had arrived as a new one.

    Raises NotFound, and FailedPrecondition for what its reader does not want and for what is not kept any more.
    """
    if await fetch("notifications", AGAIN, notification_id):
        return
    rows = await fetch("notifications", STANDING, notification_id)
    if not rows:
        raise NotFound("no such notification")
    if rows[0]["status"] not in {Status.PENDING, Status.HELD}:
        why = "its reader did not want it" if rows[0]["status"] == Status.SUPPRESSED else "what it said is not kept any more"
        raise FailedPrecondition(f"this cannot be sent again: {why}")


def _document(row: asyncpg.Record) -> dict[str, Any]:
    times = {name: row[name].isoformat() if row[name] else None for name in ("next_attempt_at", "created_at", "sent_at")}
    return {**row, "attempts": orjson.loads(row["attempts"]), **times}
