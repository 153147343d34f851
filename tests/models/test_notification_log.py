"""The log of notifications on a real database: found, sent again, and what can never stand in it."""

import asyncio
import datetime as dt
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import orjson
import pytest

from soms.errors import FailedPrecondition, InvalidArgument, NotFound
from soms.models import notification_log as log
from soms.models import notification_queue as queue
from soms.models.database import fetch, transaction
from soms.models.notification import Channel, Status
from soms.models.notification_log import Filter
from soms.models.notification_plan import Planned
from soms.models.notification_queue import Due, Outcome

PLACED = "soms.order.placed.v1"
PAYLOAD = orjson.dumps({"event": {"secret": "s3cret"}, "until": None}).decode()
ANN = uuid4()
ROW = "event_id, event_type, channel, recipient"


def now() -> dt.datetime:
    """Now."""
    return dt.datetime.now(dt.UTC)


def planned(recipient: str = "ann@example.org", status: Status = Status.PENDING, **more: Any) -> Planned:
    """A mail that is due, unless said."""
    waits = status in {Status.PENDING, Status.HELD}
    known = {"user_id": ANN, "channel": Channel.EMAIL, "due": now() if waits else None, "payload": PAYLOAD if waits else None}
    return Planned(**known | {"recipient": recipient, "status": status} | more)


async def add(*rows: Planned, event_id: UUID | None = None, event_type: str = PLACED, order_id: UUID | None = None) -> None:
    """Keep these, as of one event."""
    async with transaction("notifications"):
        await queue.add(queue.Told(event_id or uuid4(), event_type, order_id, rows))


async def claimed(limit: int = 100) -> list[Due]:
    """Mails that are due."""
    return await queue.due(Channel.EMAIL, limit)


async def test_redelivering(database: None) -> None:
    """What was given up goes again with all its attempts and the same key; what had arrived goes as a new one; twice asked is once sent."""
    await add(planned())
    (mine,) = await claimed()
    await log.redeliver(mine.id)
    await queue.record(mine, Outcome.REFUSED, "no")
    await asyncio.gather(*(log.redeliver(mine.id) for _ in range(3)))
    (again,) = await claimed()
    await queue.record(again, Outcome.SENT, "yes")
    await asyncio.gather(*(log.redeliver(mine.id) for _ in range(3)))
    (more,) = await claimed()

    assert (again.tries, again.key, more.key) == (1, str(mine.id), f"{mine.id}.1")
    ((item,), _) = await log.page(Filter(), 0, "")
    assert [a["outcome"] for a in item["attempts"]] == ["refused", "sent"]
    with pytest.raises(NotFound):
        await log.redeliver(uuid4())
    await fetch("notifications", "update notification set status = 'suppressed', next_attempt_at = null")
    with pytest.raises(FailedPrecondition, match="did not want"):
        await log.redeliver(mine.id)


async def test_the_log_is_filtered_and_paged(database: None) -> None:
    """By order, status, channel and person, newest first; pages neither skip nor repeat."""
    order_id = uuid4()
    for number in range(5):
        await add(planned(f"p{number}@example.org"), order_id=order_id)
    await add(planned(user_id=None, channel=Channel.WEBHOOK), planned(status=Status.SUPPRESSED))
    seen, token = [], ""
    for _ in range(3):
        page, token = await log.page(Filter(order_id=order_id), 2, token)
        seen += [item["recipient"] for item in page]

    assert (seen, token) == ([f"p{number}@example.org" for number in (4, 3, 2, 1, 0)], "")
    counts = [Filter(), Filter(status=Status.SUPPRESSED), Filter(channel=Channel.WEBHOOK), Filter(user_id=ANN)]
    assert [len((await log.page(wanted, 0, ""))[0]) for wanted in counts] == [7, 1, 1, 6]
    assert (await log.page(Filter(order_id, Status.SENT, Channel.EMAIL, ANN), 0, ""))[0] == []
    with pytest.raises(InvalidArgument):
        await log.page(Filter(), 0, "nonsense")


@pytest.mark.parametrize(
    "statement",
    [
        "update notification set channel = 'pigeon'",
        "update notification set status = 'lost'",
        "update notification set next_attempt_at = null",
        "update notification set payload = null",
        "update notification set status = 'sent', next_attempt_at = null",
        "update notification set attempts = '{}'",
        f"insert into notification ({ROW}, status) select {ROW}, 'failed' from notification",
    ],
)
async def test_the_database_guards_what_holds_always(database: None, statement: str) -> None:
    """Whatever a program may do wrong, these rows cannot be."""
    await add(planned())
    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await fetch("notifications", statement)
