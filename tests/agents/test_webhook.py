"""Webhooks on their way: from an event to real receivers on loopback."""

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web

from soms.agents import webhook as agent
from soms.agents.announcer import Announcer
from soms.agents.delivery import Delivery
from soms.agents.webhook import signature, webhook_posts
from soms.config import Settings
from soms.envelope import Envelope
from soms.events import StockLow, UserAnonymised, UserRegistered
from soms.models import notification_log as log
from soms.models import webhook
from soms.models.database import fetch
from soms.models.notification_log import Filter
from tests.agents.webhook_receiver import Receiver, receiving

pytestmark = pytest.mark.usefixtures("database")
NOW = dt.datetime(2026, 11, 22, 10, tzinfo=dt.UTC)
LOW = StockLow(version=1, sku="TEA", name="Tea", available=1, low_threshold=3)
DUE = "update notification set next_attempt_at = now() where next_attempt_at is not null"
AWAKE = "update webhook set resting_until = now() - interval '1 second' where resting_until is not null"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver of webhooks."""
    async with receiving() as one:
        yield one


@contextlib.asynccontextmanager
async def sending(*, private: bool = True) -> AsyncIterator[Delivery]:
    """What sends to webhooks, when asked to."""
    async with webhook_posts(Settings(webhook_private=private)) as carrier:
        yield Delivery(carrier, lambda: None)


@pytest.fixture
async def delivery() -> AsyncIterator[Delivery]:
    """What sends, to private addresses too."""
    async with sending() as one:
        yield one


async def added(url: str) -> dict[str, Any]:
    """A webhook for everything."""
    return await webhook.add(url, ["*"])


def envelope(event: Any = LOW, event_id: UUID | None = None) -> Envelope:
    """An event as it was read."""
    return Envelope(event_id or uuid4(), event.type, dt.datetime.now(dt.UTC), event.key, b"digest", event)


async def tell(times: int = 1) -> None:
    """Have webhooks told of so many events."""
    announcer = Announcer(lambda: None)
    for _ in range(times):
        await announcer.handle(envelope())


async def again(delivery: Delivery) -> None:
    """Send what waits as if its time had come."""
    await fetch("notifications", DUE)
    await fetch("notifications", AWAKE)
    await delivery.run_once()


async def listed() -> list[dict[str, Any]]:
    """All deliveries, newest first."""
    return (await log.page(Filter(), 100, ""))[0]


async def one() -> dict[str, Any]:
    """The only delivery."""
    [item] = await listed()
    return item


async def state() -> dict[str, Any]:
    """The only webhook."""
    [item] = (await webhook.page(20, ""))[0]
    return item


def test_signature_is_that_of_the_standard() -> None:
    """The example of Standard Webhooks comes out."""
    made = signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_signed_event_arrives(receiver: Receiver, delivery: Delivery) -> None:
    """An event arrives once, with the headers of the standard, signed over the very bytes of its body."""
    secret = (await added(receiver.url))["secret"]
    event = envelope()
    for _ in range(2):
        await Announcer(lambda: None).handle(event)
    await delivery.run_once()

    item, (post,) = await one(), receiver.got
    assert (item["status"], [attempt["detail"] for attempt in item["attempts"]]) == ("sent", ["204"])
    assert post.json == {"type": LOW.type, "timestamp": event.time.isoformat(), "data": LOW.model_dump(mode="json")}
    assert post.headers["webhook-id"] == item["id"]
    assert abs(int(post.headers["webhook-timestamp"]) - time.time()) < 60
    assert post.headers["content-type"] == "application/json"
    assert post.signed_by(secret)
    assert not post.signed_by("whsec_" + "A" * 43 + "=")


async def test_rotation_overlaps(receiver: Receiver, delivery: Delivery) -> None:
    """After a rotation both secrets hold, as long as both are promised to."""
    made = await added(receiver.url)
    rotated = await webhook.rotate(UUID(made["id"]))
    await tell()
    await delivery.run_once()
    await fetch("notifications", "update webhook set previous_until = now()")
    await tell()
    await delivery.run_once()

    both, new = receiver.got
    assert (both.signed_by(made["secret"]), both.signed_by(rotated["secret"])) == (True, True)
    assert (new.signed_by(made["secret"]), new.signed_by(rotated["secret"])) == (False, True)


async def test_id_stays_over_attempts(receiver: Receiver, delivery: Delivery) -> None:
    """A message that is tried again, or sent again by hand, has the id it had, so that its receiver knows it; and a time of its own."""
    await added(receiver.url)
    await tell()
    receiver.status = 500
    await delivery.run_once()
    receiver.status = 200
    await again(delivery)
    await log.redeliver(UUID((await one())["id"]))
    await delivery.run_once()

    item = await one()
    assert {post.headers["webhook-id"] for post in receiver.got} == {item["id"]}
    assert [attempt["detail"] for attempt in item["attempts"]] == ["it answered 500", "200", "200"]


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


async def test_slow_receivers_hold_up_nobody(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one receiver hangs, another gets all its messages; the one that hangs is asked a few times and then left to rest."""
    monkeypatch.setattr(agent, "ANSWER_SECONDS", 0.5)
    async with receiving() as healthy, sending() as delivery:
        receiver.behaviour = receiver.hang
        for url in (receiver.url, healthy.url):
            await added(url)
        await tell(100)
        started = time.monotonic()
        await delivery.run_once()

        assert (len(healthy.got), len(receiver.got) < 50, time.monotonic() - started < 4) == (100, True, True)
        rows = await fetch("notifications", "select distinct attempts -> 0 ->> 'detail' as said from notification where status = 'pending'")
        assert {row["said"] for row in rows} == {None, "no answer within 0.5 s"}


async def test_nobody_there(receiver: Receiver, delivery: Delivery) -> None:
    """What refuses connections is tried again, and the log says so without addresses."""
    await added("http://127.0.0.1:1/hook")
    await tell()
    await delivery.run_once()

    item = await one()
    assert (item["status"], item["attempts"][0]["detail"]) == ("pending", "it cannot be reached: ConnectionRefusedError")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]", "rebound.example"])
@pytest.mark.parametrize("private", [False, True])
async def test_private_addresses_are_not_reached(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, host: str, private: bool) -> None:
    """However a private address is written, and even if its name was public before, no request arrives; where allowed, it does."""
    loop = asyncio.get_running_loop()
    known = loop.getaddrinfo

    async def rebound(name: str, *arguments: Any, **more: Any) -> Any:
        return await known("127.0.0.1" if name == "rebound.example" else name, *arguments, **more)

    monkeypatch.setattr(loop, "getaddrinfo", rebound)
    await added(f"http://{host}:{receiver.port}/hook?a=%2F&b")
    await tell()
    async with sending(private=private) as delivery:
        await delivery.run_once()

    item = await one()
    assert (item["status"], len(receiver.got)) == (("sent", 1) if private else ("pending", 0))
    assert item["attempts"][0]["detail"] == ("204" if private else "its address is not public")


async def test_forgotten_people_are_not_told_of(receiver: Receiver, delivery: Delivery) -> None:
    """What waits to be told of somebody is not told after they are forgotten; that they are, is."""
    ann = uuid4()
    await added(receiver.url)
    announcer = Announcer(lambda: None)
    await announcer.handle(envelope(UserRegistered(version=1, user_id=ann, email="ann@example.org", name="Ann")))
    await announcer.handle(envelope(UserAnonymised(version=2, user_id=ann)))
    await delivery.run_once()

    assert [post.json["type"] for post in receiver.got] == [UserAnonymised.type]


async def test_nothing_secret_is_logged(receiver: Receiver, delivery: Delivery, caplog: pytest.LogCaptureFixture) -> None:
    """No secret is logged, whatever happens."""
    caplog.set_level("DEBUG")
    secret = (await added(receiver.url))["secret"]
    await tell()
    receiver.status = 410
    await delivery.run_once()

    assert secret.removeprefix("whsec_") not in caplog.text
    assert all(secret not in str(item) for item in [*await listed(), await state()])
