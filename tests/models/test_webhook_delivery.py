"""Which webhooks hear of what, and how they rest and pause, on a real database."""

import datetime as dt
from typing import Any
from uuid import UUID, uuid4

import pytest

from soms.envelope import Envelope
from soms.errors import FailedPrecondition
from soms.events import Event, OrderPaid, StockLow, UserPasswordReset, UserRegistered
from soms.models import notification_queue as queue
from soms.models import webhook, webhook_delivery
from soms.models.database import fetch, transaction
from soms.models.notification import Channel
from soms.models.notification_log import Filter, page
from soms.models.notification_queue import Due, Outcome

pytestmark = pytest.mark.usefixtures("database")
NOW = dt.datetime.now(dt.UTC)
ANN = uuid4()
LOW = StockLow(version=1, sku="TEA", name="Tea", available=1, low_threshold=3)
REGISTERED = UserRegistered(version=1, user_id=ANN, email="ann@example.org", name="Ann")
RESET = UserPasswordReset(version=1, user_id=ANN, email="ann@example.org", token="s3cret", expires_at=NOW)
AN_HOUR_AGO = "update webhook set resting_until = now() - interval '1 hour'"


def paid(**more: Any) -> OrderPaid:
    """An order that is paid."""
    order = {"order_id": uuid4(), "number": "S-1", "status": "paid", "user_id": ANN, "email": "ann@example.org", "currency": "GBP"}
    return OrderPaid.model_validate(order | {"version": 2, "total": 5, "lines": [], "placed_at": NOW, "at": NOW} | more)


def envelope(event: Event, time: dt.datetime = NOW) -> Envelope:
    """The event as it was read."""
    return Envelope(uuid4(), event.type, time, event.key, b"", event)


async def added(url: str = "https://hook.example/", *event_types: str) -> UUID:
    """A webhook, for everything unless said."""
    return UUID((await webhook.add(url, list(event_types or ["*"])))["id"])


async def told(event: Event) -> list[str]:
    """Who hears of an event, sorted; they are told."""
    [planned] = await webhook_delivery.plan([envelope(event)], NOW)
    async with transaction("notifications"):
        await queue.add(queue.Told(uuid4(), event.type, None, planned))
    return sorted(one.recipient for one in planned)


async def due() -> list[Due]:
    """What is to be sent now."""
    return await queue.due(Channel.WEBHOOK, 100)


async def states() -> list[tuple[str, bool]]:
    """Status of each notification and whether its content is kept."""
    rows = await fetch("notifications", "select status, payload is not null as kept from notification order by id")
    return [tuple(row) for row in rows]


async def test_those_who_listen_hear() -> None:
    """An event goes to the active webhooks that asked for its type or for all, under its name and with its content."""
    await added("https://all.example/")
    await added("https://low.example/", StockLow.type)
    await added("https://other.example/", OrderPaid.type, UserRegistered.type)
    await webhook.change(await added("https://paused.example/"), {"active": False})

    assert await told(LOW) == ["https://all.example/", "https://low.example/"]
    assert {one.payload["event"]["sku"] for one in await due()} == {"TEA"}


@pytest.mark.parametrize(
    ("event", "time"),
    [
        (RESET, NOW),
        (paid(external_number="17"), NOW),
        (LOW, NOW - dt.timedelta(days=8)),
    ],
    ids=["password reset", "imported", "old"],
)
async def test_what_nobody_hears(event: Event, time: dt.datetime) -> None:
    """Tokens of people, imported orders and news of last week go to no webhook, even if it asked for all."""
    await added()

    assert await webhook_delivery.plan([envelope(event, time)], NOW) == [[]]


async def test_failures_have_it_rest() -> None:
    """After a failure what waits for a webhook waits, longer each time, and what comes meanwhile does too; a success ends that."""
    webhook_id, other = await added("https://a.example/"), await added("https://b.example/")
    await told(LOW)
    rests = []
    for _ in range(3):
        rests.append(round(await webhook_delivery.failed(webhook_id)))
        await fetch("notifications", AN_HOUR_AGO + f" where id = '{webhook_id}'")
    await webhook_delivery.failed(webhook_id)
    await told(LOW)

    assert rests == [1, 2, 4]
    assert {one.recipient for one in await due()} == {"https://b.example/"}
    await webhook_delivery.succeeded(webhook_id)
    await webhook_delivery.succeeded(other)
    assert await told(LOW) == ["https://a.example/", "https://b.example/"]
    assert len(await due()) == 2


async def test_failures_at_once_count_as_one() -> None:
    """What fails while a webhook rests was under way before, and says nothing new."""
    webhook_id = await added()
    rests = [await webhook_delivery.failed(webhook_id) for _ in range(20)]

    assert 0 < min(rests) <= max(rests) <= 1
    rows = await fetch("notifications", "select failures from webhook")
    assert rows[0]["failures"] == 1


@pytest.mark.parametrize(("failures", "days", "paused"), [(9, 6, False), (10, 4, False), (10, 6, True)])
async def test_long_failure_pauses(failures: int, days: int, paused: bool) -> None:
    """A webhook is paused when ten attempts failed over five days, with a reason for people, and not before."""
    webhook_id = await added()
    since = f"failing_since = now() - interval '{days} days', resting_until = now() - interval '1 hour'"
    await fetch("notifications", f"update webhook set failures = {failures - 1}, {since}")
    await webhook_delivery.failed(webhook_id)
    found = await webhook.show(webhook_id)

    reason = "every attempt failed for 5 days" if paused else None
    assert (found["active"], found["paused_reason"], found["version"]) == (not paused, reason, 2 if paused else 1)


async def test_patience_is_a_parameter() -> None:
    """Who says less patience gets less."""
    webhook_id = await added()
    await webhook_delivery.failed(webhook_id, failures=1, failing=dt.timedelta())

    assert not (await webhook.show(webhook_id))["active"]
    with pytest.raises(FailedPrecondition, match="paused"):
        await webhook_delivery.target(webhook_id)


async def test_both_secrets_sign_while_both_hold() -> None:
    """After a rotation the new secret and the one before sign, until the overlap is over."""
    webhook_id = await added()
    [first] = (await webhook_delivery.target(webhook_id)).secrets
    second = (await webhook.rotate(webhook_id))["secret"]

    assert (await webhook_delivery.target(webhook_id)).secrets == (second, first)
    await fetch("notifications", "update webhook set previous_until = now()")
    assert (await webhook_delivery.target(webhook_id)).secrets == (second,)


async def test_removal_ends_deliveries() -> None:
    """What is on its way to a removed webhook is not sent any more, and its content goes; what is elsewhere stays."""
    webhook_id = await added("https://a.example/")
    await added("https://b.example/")
    await told(LOW)
    await webhook.remove(webhook_id)

    assert sorted(await states()) == [("pending", True), ("suppressed", False)]
    with pytest.raises(FailedPrecondition, match="removed"):
        await webhook_delivery.target(webhook_id)


async def test_people_are_forgotten() -> None:
    """What was and what will be told of somebody who is forgotten is erased, and nothing else."""
    await added()
    for event in (REGISTERED, paid()):
        await told(event)
    for one in await due():
        await queue.record(one, Outcome.SENT, "200")
    for event in (REGISTERED, paid(user_id=None), LOW):
        await told(event)
    await webhook_delivery.forget(ANN)

    assert await states() == [("sent", False)] * 2 + [("suppressed", False)] + [("pending", True)] * 2


async def test_log_shows_where_it_went() -> None:
    """A delivery is a notification whose recipient is the address."""
    await added()
    await told(LOW)
    [item], _ = await page(Filter(channel=Channel.WEBHOOK), 20, "")

    assert (item["recipient"], item["status"], item["event_type"]) == ("https://hook.example/", "pending", LOW.type)
