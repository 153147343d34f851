"""Notifications on their way, on a real database: kept once, claimed by one, tried again, given up, forgotten."""

import asyncio
import datetime as dt
from collections import Counter
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest

from soms.errors import FailedPrecondition
from soms.events import UserPasswordReset
from soms.models import notification_log as log
from soms.models import notification_queue as queue
from soms.models.database import fetch, transaction
from soms.models.notification import Channel, Status
from soms.models.notification_log import Filter
from soms.models.notification_plan import Contact, Planned, QuietHours
from soms.models.notification_queue import ATTEMPTS, Due, Outcome

PLACED = "soms.order.placed.v1"
PAYLOAD = orjson.dumps({"event": {"secret": "s3cret"}, "until": None}).decode()
ANN = uuid4()


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


async def one() -> dict[str, Any]:
    """The only notification, as others see it."""
    (item,), _ = await log.page(Filter(), 0, "")
    return item


async def let_time_pass() -> None:
    """All that waits is due now."""
    await fetch("notifications", "update notification set next_attempt_at = now() where next_attempt_at is not null")


async def test_one_row_per_event_channel_and_recipient(database: None) -> None:
    """The same planned again, by whomever, is kept once."""
    event_id, rows = uuid4(), (planned(), planned(channel=Channel.SMS), planned("bob@example.org", Status.SUPPRESSED))

    for _ in range(2):
        await add(*rows, event_id=event_id)
    await add(*rows)
    assert len((await log.page(Filter(), 0, ""))[0]) == 6


async def test_each_is_claimed_by_one(database: None) -> None:
    """Eight senders at once get forty mails, each one of them; nobody gets one again before the lease is over."""
    for number in range(40):
        await add(planned(f"p{number}@example.org"))
    found = [mine for batch in await asyncio.gather(*(claimed(7) for _ in range(8))) for mine in batch]

    assert max(Counter(one.id for one in found).values()) == 1
    assert len(found) == 40
    assert await claimed() == []


async def test_without_locks_several_would_send(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The broken twin: senders that look without locking each get the same."""
    for number in range(40):
        await add(planned(f"p{number}@example.org"))
    members = "id, event_id, event_type, order_id, channel, recipient, tries, rounds, payload, created_at"
    look = f"select {members} from notification where channel = $1 limit $2"
    monkeypatch.setattr(queue, "CLAIM", look)
    found = [mine for batch in await asyncio.gather(*(claimed(7) for _ in range(8))) for mine in batch]

    assert max(Counter(one.id for one in found).values()) > 1


async def test_what_is_held_waits(database: None) -> None:
    """Until its time comes; then it goes as the others do."""
    await add(planned(status=Status.HELD, due=now() + dt.timedelta(hours=1)))
    assert (await claimed(), (await one())["status"]) == ([], "held")
    await let_time_pass()
    (mine,) = await claimed()
    await queue.record(mine, Outcome.SENT, "250 OK")

    sent = await one()
    assert (sent["status"], sent["next_attempt_at"]) == ("sent", None)
    assert dt.datetime.fromisoformat(sent["sent_at"]) <= now()
    assert [(a["outcome"], a["detail"]) for a in sent["attempts"]] == [("sent", "250 OK")]


async def test_news_of_an_order_keep_their_order(database: None) -> None:
    """The second waits while the first is tried again; another recipient and another order do not."""
    first, other = uuid4(), uuid4()
    await add(planned(), order_id=first)
    await add(planned(), planned("bob@example.org"), order_id=first)
    await add(planned(), order_id=other)
    before = await claimed()
    await queue.record(next(x for x in before if x.recipient != "bob@example.org" and x.order_id == first), Outcome.FAILED, "busy")

    assert [(x.order_id, x.recipient) for x in before] == [
        (first, "ann@example.org"),
        (first, "bob@example.org"),
        (other, "ann@example.org"),
    ]
    await fetch("notifications", "update notification set next_attempt_at = now() where order_id = $1", first)
    again = [x for x in await claimed() if x.recipient == "ann@example.org"]
    assert [x.tries for x in again] == [2]
    await queue.record(again[0], Outcome.SENT, "")
    assert [x.tries for x in await claimed()] == [1]


async def test_attempts_end(database: None) -> None:
    """Eight failures, each kept with its time and reason, and it is given up; pauses grow fourfold, shortened by chance."""
    await add(planned())
    states = []
    for number in range(1, ATTEMPTS + 1):
        (mine,) = await claimed()
        states.append(await queue.record(mine, Outcome.FAILED, f"busy {number}\x00\n"))
        waiting = (await one())["next_attempt_at"]
        assert waiting is None or dt.datetime.fromisoformat(waiting) <= now() + dt.timedelta(seconds=4 ** (number - 1) + 1)
        await let_time_pass()

    assert states == [Status.PENDING] * 7 + [Status.FAILED]
    assert [a["detail"].strip() for a in (await one())["attempts"]] == [f"busy {number}" for number in range(1, 9)]
    assert await claimed() == []
    assert [row["channel"] for row in await queue.unburied(10)] == ["email"]
    await queue.buried([mine.id])
    assert await queue.unburied(10) == []


def test_pauses_are_bounded() -> None:
    """From under a second up to an hour, and spread."""
    longest = [max(queue.pause_seconds(tries) for _ in range(300)) for tries in (1, 2, 7, 50)]
    assert [bound * 0.9 < found <= bound for bound, found in zip((1, 4, 3600, 3600), longest, strict=True)] == [True] * 4
    assert min(queue.pause_seconds(7) for _ in range(300)) < 360


async def test_what_is_refused_is_not_tried_again(database: None) -> None:
    """And a server that asks for time gets it."""
    await add(planned("no@example.org"))
    (mine,) = await claimed()
    assert await queue.record(mine, Outcome.REFUSED, "550 unknown") is Status.FAILED
    await add(planned("busy@example.org"))
    (mine,) = await claimed()
    await queue.record(mine, Outcome.FAILED, "429", retry_seconds=300)

    (busy, _), _ = await log.page(Filter(), 0, "")
    assert dt.datetime.fromisoformat(busy["next_attempt_at"]) > now() + dt.timedelta(seconds=290)


async def test_a_lost_lease_decides_nothing(database: None) -> None:
    """Who was too slow cannot fail what another is sending; but what was sent is sent."""
    await add(planned())
    (slow,) = await claimed()
    await let_time_pass()
    (quick,) = await claimed()
    await queue.record(slow, Outcome.REFUSED, "too late")
    assert (await one())["status"] == "pending"
    await queue.record(slow, Outcome.SENT, "after all")
    await queue.record(quick, Outcome.FAILED, "busy")

    assert (await one())["status"] == "sent"
    assert [a["detail"] for a in (await one())["attempts"]] == ["after all"]


async def test_what_was_not_tried_goes_back(database: None) -> None:
    """At once, and without an attempt on its account; not what somebody else has by now."""
    await add(planned())
    (mine,) = await claimed()
    await queue.release([mine])
    (again,) = await claimed()
    await queue.release([Due(**{**mine.__dict__, "tries": 7})])

    assert (again.tries, await claimed()) == (1, [])


async def test_secrets_go_when_they_are_sent(database: None) -> None:
    """A reset token is in the row as long as it must be, and no longer: sent or given up, it is gone."""
    for outcome in (Outcome.SENT, Outcome.REFUSED):
        await add(planned(), event_type=UserPasswordReset.type)
        (mine,) = await claimed()
        await queue.record(mine, outcome, "")
    await add(planned())
    (mine,) = await claimed()
    await queue.record(mine, Outcome.SENT, "")

    rows = await fetch("notifications", "select event_type, payload from notification order by id")
    assert [(row["event_type"], row["payload"] is None) for row in rows] == [(UserPasswordReset.type, True)] * 2 + [(PLACED, False)]
    reset = (await log.page(Filter(), 0, ""))[0][1]["id"]
    with pytest.raises(FailedPrecondition, match="not kept"):
        await log.redeliver(UUID(reset))


async def test_being_forgotten(database: None) -> None:
    """Neither address nor message is left, nothing more is sent, and what is known of others stays."""
    await add(planned(), planned(channel=Channel.SMS, recipient="+447700900123"), planned("bob@example.org", user_id=uuid4()))
    mine = (await claimed())[0]
    await queue.record(mine, Outcome.FAILED, "451 ann@example.org is busy")
    await queue.forget(ANN)

    rows = await fetch("notifications", "select user_id, recipient, status, payload, attempts::text from notification")
    assert "ann@example.org" not in str(rows)
    assert "+447700900123" not in str(rows)
    assert {(row["status"], row["payload"]) for row in rows if row["user_id"] == ANN} == {("suppressed", None)}
    assert [row["recipient"] for row in rows if row["user_id"] != ANN] == ["bob@example.org"]


async def test_held_follows_new_wishes(database: None) -> None:
    """Who wants no mails any more gets none in the morning; who has no quiet hours any more need not wait."""
    await add(
        planned(status=Status.HELD, due=now() + dt.timedelta(hours=1)), planned(status=Status.HELD, channel=Channel.SMS, recipient="+1")
    )
    contact = Contact("ann@example.org", ANN, wants=frozenset({Channel.EMAIL}))
    later = QuietHours(*(moment.time() for moment in (now() - dt.timedelta(hours=1), now() + dt.timedelta(hours=3))))
    await queue.replan(await queue.held(ANN), Contact("", wants=contact.wants | {Channel.SMS}, quiet_hours=later), now())
    assert await claimed() == []
    await queue.replan(await queue.held(ANN), contact, now())
    states = {item["channel"]: item["status"] for item in (await log.page(Filter(), 0, ""))[0]}

    assert states == {"email": "pending", "sms": "suppressed"}
    assert len(await claimed()) == 1
    assert await queue.held(ANN) == []


async def test_payloads_go_in_time(database: None) -> None:
    """A month after, nobody needs what a message said; what waits keeps it."""
    await add(planned(), planned("late@example.org"))
    await fetch("notifications", "update notification set created_at = now() - interval '31 days'")
    (mine, _) = await claimed()
    await queue.record(mine, Outcome.SENT, "")
    await queue.prune()

    assert [row["status"] for row in await fetch("notifications", "select status from notification where payload is null")] == ["sent"]
