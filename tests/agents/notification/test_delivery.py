"""Sending what is due on a real database: each once, in time, again where it failed, and nothing lost when the sender has to leave."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import pytest

from soms.agents import delivery
from soms.agents.delivery import Delivery
from soms.agents.email import Email, mails
from soms.agents.rendering import Writer
from soms.config import Settings
from soms.errors import Unavailable
from soms.models import notification_log as log
from soms.models import notification_queue as queue
from soms.models.database import fetch
from soms.models.notification import Channel
from soms.models.notification_log import Filter
from soms.models.notification_queue import Due

Patch = pytest.MonkeyPatch
Eventually = Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]


def sending(carrier: Any) -> Delivery:
    """A delivery that tells nobody of what it gives up."""
    return Delivery(carrier, lambda: None)


async def test_each_is_sent_once(database: None, add: Any, carrying: Any, states: Any) -> None:
    """Three senders beside each other, sixty mails, one attempt each."""
    await add(60)
    carriers = [carrying() for _ in range(3)]
    await asyncio.gather(*(sending(carrier).run_once() for carrier in carriers))
    sent = [one for carrier in carriers for one in carrier.sent]

    assert (len(sent), len(set(sent))) == (60, 60)
    assert await states() == {"sent": 60}


async def test_only_so_many_are_under_way(database: None, add: Any, carrying: Any) -> None:
    """As many as the carrier takes: one, where a repetition would show."""
    for at_once in (1, 4):
        await add(20)
        carrier = carrying(at_once=at_once)
        await sending(carrier).run_once()
        assert carrier.most == at_once


async def test_failures_are_tried_again(  # noqa: PLR0917 - fixtures
    database: None, add: Any, eventually: Eventually, monkeypatch: Patch, carrying: Any, states: Any
) -> None:
    """By the loop, until it works; the log tells each attempt."""
    monkeypatch.setattr(queue, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(delivery, "POLL_SECONDS", 0.02)
    answers = iter([Unavailable("421 busy"), OSError("no route"), ZeroDivisionError()])

    async def do(_: Due) -> str:
        if error := next(answers, None):
            raise error
        return "250 OK"

    async def arrived() -> bool:
        return bool((await states())["sent"])

    await add()
    async with sending(carrying(do)).running():
        await eventually(arrived)
    ((item,), _) = await log.page(Filter(), 0, "")

    assert [(one["outcome"], one["detail"]) for one in item["attempts"]] == [
        ("failed", "421 busy"),
        ("failed", "OSError: no route"),
        ("failed", "ZeroDivisionError: "),
        ("sent", "250 OK"),
    ]


async def test_a_silent_server_costs_its_deadline(database: None, add: Any, monkeypatch: Patch, carrying: Any, states: Any) -> None:
    """An attempt that hangs is broken off, and the next message goes."""
    monkeypatch.setattr(delivery, "ATTEMPT_SECONDS", 0.05)
    hung = asyncio.Event()

    async def hang(one: Due) -> str:
        if not hung.is_set():
            hung.set()
            await asyncio.Event().wait()
        return "250 OK"

    await add(2)
    await sending(carrying(hang, 1)).run_once()

    assert await states() == {"pending": 1, "sent": 1}
    details = [
        row["detail"] for row in await fetch("notifications", "select attempts -> 0 ->> 'detail' as detail from notification order by id")
    ]
    assert details == ["no answer within 0.05 s", "250 OK"]


async def test_leaving_gives_back(database: None, add: Any, eventually: Eventually, carrying: Any, states: Any) -> None:
    """What is under way is finished and recorded, the rest is free for others at once."""
    began, may = asyncio.Event(), asyncio.Event()

    async def wait(_: Due) -> str:
        began.set()
        await may.wait()
        return "250 OK"

    await add(5)
    carrier = carrying(wait, 1)
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(sending(carrier).running())
        await began.wait()
        asyncio.get_running_loop().call_later(0.05, may.set)

    assert (len(carrier.sent), await states()) == (1, {"sent": 1, "pending": 4})
    assert [one.tries for one in await queue.due(Channel.EMAIL, 10)] == [1] * 4


async def test_a_lease_that_runs_out_is_not_used(database: None, add: Any, monkeypatch: Patch, carrying: Any, states: Any) -> None:
    """Who comes to a message so late that another may have it, leaves it."""
    monkeypatch.setattr(delivery, "PAGES", 1)
    monkeypatch.setattr(delivery, "LEASE_SECONDS", 15)
    await add()
    carrier = carrying()
    await sending(carrier).run_once()

    assert (carrier.sent, await states()) == ([], {"pending": 1})


@pytest.mark.parametrize("patient", [True, False])
async def test_what_was_sent_is_recorded(database: None, add: Any, monkeypatch: Patch, carrying: Any, *, patient: bool) -> None:
    """Though the database is away for a moment after the server took the mail; a twin that does not insist sends it again."""
    record, failures = queue.record, iter([Unavailable(), Unavailable()])

    async def flaky(*arguments: Any, **more: Any) -> Any:
        if patient and (error := next(failures, None)):
            raise error
        return await record(*arguments, **more) if patient else None

    monkeypatch.setattr(queue, "record", flaky)
    await add()
    carrier = carrying()
    await sending(carrier).run_once()
    await fetch("notifications", "update notification set next_attempt_at = now() where status = 'pending'")
    await sending(carrier).run_once()

    assert len(carrier.sent) == (1 if patient else 2)


async def test_a_reset_that_expired_is_not_sent(database: None, order: Any, carrying: Any, states: Any) -> None:
    """It would only puzzle its reader."""
    await fetch(
        "notifications",
        "insert into notification (event_id, event_type, channel, recipient, status, next_attempt_at, payload)"
        " values ($1, 'soms.user.password_reset.v1', 'email', 'a@example.org', 'pending', now(), $2)",
        uuid4(),
        '{"until": "2026-01-01T00:00:00Z"}',
    )
    carrier = carrying()
    await sending(carrier).run_once()

    assert (carrier.sent, await states()) == ([], {"failed": 1})
    assert await fetch("notifications", "select 1 from notification where payload is not null") == []


async def test_mails_flow(database: None, add: Any, post: Any, stack: Settings, states: Any) -> None:
    """A hundred mails to a real mail server, one at a time, in a second on an idle machine."""
    await add(100)
    settings = stack.model_copy(update={"smtp": post.smtp})
    async with mails(settings, Writer(settings)) as email:
        began = time.monotonic()
        await sending(email).run_once()
        seconds = time.monotonic() - began

    assert isinstance(email, Email)
    assert (await states(), len(post.mails())) == ({"sent": 100}, 100)
    assert seconds < 5


@pytest.mark.parametrize("in_turn", [True, False])
async def test_a_kill_repeats_one_mail(  # noqa: PLR0917 - fixtures
    database: None, add: Any, post: Any, stack: Settings, eventually: Eventually, monkeypatch: Patch, *, in_turn: bool
) -> None:
    """Of twelve mails under way, the server has one that is not recorded; a twin whose mails take no turns has it have several."""

    async def hang(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    async def accepted() -> bool:
        return len(post.mails()) >= (1 if in_turn else 2)

    monkeypatch.setattr(queue, "record", hang)
    await add(12)
    settings = stack.model_copy(update={"smtp": post.smtp})
    async with mails(settings, Writer(settings)) as email:
        if not in_turn:
            email._turn = asyncio.Semaphore(12)  # type: ignore[assignment]
        killed = asyncio.create_task(sending(email).run_once())
        await eventually(accepted)
        # the others have told the server whom they are for, and wait for their turn
        await eventually(lambda: _settled(email, in_turn=in_turn))
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)

    assert (len(post.mails()) == 1) is in_turn


async def _settled(email: Email, *, in_turn: bool) -> bool:
    return not in_turn or len(email._turn._waiters or ()) == email.at_once - 1
