"""Events on their way to webhooks: from an event to real receivers on loopback."""

import asyncio
import time
from typing import Any
from uuid import UUID, uuid4

import pytest

from soms.agents.delivery import Delivery
from soms.agents.webhook import signature
from soms.events import UserAnonymised, UserRegistered
from soms.models import notification_log as log
from soms.models import webhook
from soms.models.database import fetch
from tests.agents.webhook.receiver import LOW, Receiver, added, again, announced, envelope, listed, one, sending, state, tell

pytestmark = pytest.mark.usefixtures("database")


def test_signature_is_that_of_the_standard() -> None:
    """The example of Standard Webhooks comes out."""
    made = signature("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_signed_event_arrives(receiver: Receiver, delivery: Delivery) -> None:
    """An event arrives once, with the headers of the standard, signed over the very bytes of its body."""
    secret = (await added(receiver.url))["secret"]
    event = envelope()
    for _ in range(2):
        await announced(event)
    await delivery.run_once()

    item, (post,) = await one(), receiver.got
    assert (item["status"], [attempt["detail"] for attempt in item["attempts"]]) == ("sent", ["204"])
    assert post.json == {"type": LOW.type, "timestamp": event.time.isoformat().replace("+00:00", "Z"), "data": LOW.model_dump(mode="json")}
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
    await announced(envelope(UserRegistered(version=1, user_id=ann, email="ann@example.org", name="Ann")))
    await announced(envelope(UserAnonymised(version=2, user_id=ann)))
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
