"""Receivers of webhooks that fail, hang, wander off or are gone."""

import asyncio
import contextlib
import datetime as dt
from uuid import UUID

import pytest
from aiohttp import web

from soms.agents import webhook as agent
from soms.agents.delivery import Delivery
from soms.models import notification_log as log
from soms.models import webhook
from soms.models.database import fetch
from tests.agents.webhook.receiver import Receiver, added, again, listed, one, receiving, sending, state, tell

pytestmark = pytest.mark.usefixtures("database")


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 404, 429, 500, 503])
async def test_other_answers_are_tried_again(receiver: Receiver, delivery: Delivery, status: int) -> None:
    """Whatever is no 2xx is a failure that may pass; a redirection is not followed."""
    await added(receiver.url)
    await tell()
    receiver.status, receiver.headers = status, {"Location": receiver.url}
    await delivery.run_once()

    item = await one()
    assert (item["status"], item["attempts"][0]["outcome"], len(receiver.got)) == ("pending", "failed", 1)


async def test_receiver_may_ask_to_wait(receiver: Receiver, delivery: Delivery) -> None:
    """Retry-After is heeded, up to an hour."""
    await added(receiver.url)
    await tell()
    receiver.status, receiver.headers = 429, {"Retry-After": "9999999"}
    await delivery.run_once()

    waits = dt.datetime.fromisoformat((await one())["next_attempt_at"]) - dt.datetime.now(dt.UTC)
    assert dt.timedelta(minutes=59) < waits <= dt.timedelta(hours=1)


async def test_gone_pauses_at_once(receiver: Receiver, delivery: Delivery) -> None:
    """410 Gone pauses the webhook: what waits is given up, new events are not for it, until it is resumed and what was lost sent again."""
    webhook_id = UUID((await added(receiver.url))["id"])
    await tell(2)
    receiver.status = 410
    await delivery.run_once()
    await again(delivery)
    await tell()

    found = await state()
    assert (found["active"], found["paused_reason"]) == (False, agent.GONE)
    assert [item["status"] for item in await listed()] == ["failed", "failed"]
    receiver.status = 200
    await webhook.change(webhook_id, {"active": True})
    await log.redeliver(UUID((await listed())[0]["id"]))
    await delivery.run_once()
    assert [item["status"] for item in await listed()] == ["sent", "failed"]


async def test_long_failure_pauses(receiver: Receiver, delivery: Delivery) -> None:
    """A receiver that took nothing for days is left alone."""
    await added(receiver.url)
    await tell()
    receiver.status = 500
    await delivery.run_once()
    await fetch("notifications", "update webhook set failures = 9, failing_since = now() - interval '6 days'")
    await again(delivery)

    assert not (await state())["active"]


async def test_ten_attempts_in_three_days(receiver: Receiver, delivery: Delivery) -> None:
    """A message is tried ten times over three days before it is given up."""
    await added(receiver.url)
    await tell()
    receiver.status = 500
    waited = dt.timedelta()
    for _ in range(9):
        await again(delivery)
        waited += dt.datetime.fromisoformat((await one())["next_attempt_at"]) - dt.datetime.now(dt.UTC)
    assert (await one())["status"] == "pending"
    await again(delivery)

    assert ((await one())["status"], len(receiver.got)) == ("failed", 10)
    assert dt.timedelta(days=2) < waited < dt.timedelta(days=3.3)


async def test_success_forgets_failures(receiver: Receiver, delivery: Delivery) -> None:
    """One success and a webhook is as good as new."""
    await added(receiver.url)
    await tell()
    receiver.status = 500
    await delivery.run_once()
    receiver.status = 200
    await again(delivery)

    rows = await fetch("notifications", "select failures, failing_since, resting_until from webhook")
    assert tuple(rows[0]) == (0, None, None)


@pytest.mark.parametrize("status", [200, 500])
async def test_endless_answers_are_left(receiver: Receiver, delivery: Delivery, status: int) -> None:
    """An answer counts by its status; what follows is not read."""
    await added(receiver.url)
    await tell()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while not receiver.over.is_set():
                await response.write(b"." * 65536)
        return response

    receiver.behaviour = endless
    async with asyncio.timeout(4):
        await delivery.run_once()

    assert (await one())["status"] == ("sent" if status == 200 else "pending")


@pytest.mark.parametrize("rests", [True, False], ids=["rests", "twin"])
async def test_slow_receivers_hold_up_nobody(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, rests: bool) -> None:
    """While one receiver hangs, another gets all its messages; the one that hangs is asked a few times and then left to rest.

    The twin, which grants no rest, waits for it with every message.
    """

    async def restless(_: UUID) -> float:
        return 0

    monkeypatch.setattr(agent, "ANSWER_SECONDS", 0.5)
    if not rests:
        monkeypatch.setattr(agent.webhooks, "failed", restless)
    async with receiving() as healthy, sending() as delivery:
        receiver.behaviour = receiver.hang
        for url in (receiver.url, healthy.url):
            await added(url)
        await tell(100)
        await delivery.run_once()

        assert (len(healthy.got), len(receiver.got) < 50) == (100, rests)
        rows = await fetch("notifications", "select distinct attempts -> 0 ->> 'detail' as said from notification where status = 'pending'")
        assert {row["said"] for row in rows} - {None} == {"no answer within 0.5 s"}


async def test_nobody_there(receiver: Receiver, delivery: Delivery) -> None:
    """What refuses connections is tried again, and the log says so without addresses."""
    await added("http://127.0.0.1:1/hook")
    await tell()
    await delivery.run_once()

    item = await one()
    assert (item["status"], item["attempts"][0]["detail"]) == ("pending", "it cannot be reached: ConnectionRefusedError")
