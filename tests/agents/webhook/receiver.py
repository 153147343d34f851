"""What tests of webhooks share: receivers on loopback, a check of signatures that has nothing of ours, and what is told."""

import asyncio
import base64
import contextlib
import datetime as dt
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import orjson
from aiohttp import web
from cryptography.hazmat.primitives import hashes, hmac

from soms.agents.contacts import Contacts
from soms.agents.delivery import Delivery
from soms.agents.intake import Intake
from soms.agents.webhook import webhook_posts
from soms.config import Settings
from soms.envelope import Envelope
from soms.events import StockLow
from soms.models import notification_log as log
from soms.models import webhook
from soms.models.database import fetch
from soms.models.notification_log import Filter
from soms.rpc.gen.soms import v1

LOW = StockLow(version=1, sku="TEA", name="Tea", available=1, low_threshold=3)
DUE = "update notification set next_attempt_at = now() where next_attempt_at is not null"
AWAKE = "update webhook set resting_until = now() - interval '1 second' where resting_until is not null"
SECRET = re.compile(r"whsec_([A-Za-z0-9+/]{43}=)")
Behaviour = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Post:
    """A request as it came."""

    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The value of the body."""
        return orjson.loads(self.body)

    def signed_by(self, secret: str) -> bool:
        """Whether one of its signatures was made with `secret`."""
        found = SECRET.fullmatch(secret)
        assert found
        signed = b".".join((self.headers["webhook-id"].encode(), self.headers["webhook-timestamp"].encode(), self.body))
        check = hmac.HMAC(base64.b64decode(found[1]), hashes.SHA256())
        check.update(signed)
        right = check.finalize()
        versions = [one.split(",") for one in self.headers["webhook-signature"].split(" ")]
        return any(version == "v1" and base64.b64decode(text) == right for version, text in versions)


@dataclass
class Receiver:
    """A server that keeps what it gets; `behaviour` answers, by itself with `status`."""

    port: int = 0
    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    got: list[Post] = field(default_factory=list)
    behaviour: Behaviour | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """Where it takes posts."""
        return f"http://127.0.0.1:{self.port}/hook?a=%2F&b"

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Keep the request and answer."""
        assert request.path_qs == "/hook?a=%2F&b", "the address is used as it was given"
        self.got.append(Post({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        return await self.behaviour(request) if self.behaviour else web.Response(status=self.status, headers=self.headers)

    async def hang(self, _: web.Request) -> web.StreamResponse:
        """Never answer, as a behaviour."""
        await self.over.wait()
        return web.Response()


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", receiver.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.port = runner.addresses[0][1]
        yield receiver
    finally:
        receiver.over.set()
        await runner.cleanup()


@contextlib.asynccontextmanager
async def sending(*, private: bool = True) -> AsyncIterator[Delivery]:
    """What sends to webhooks, when asked to."""
    async with webhook_posts(Settings(webhook_private=private)) as carrier:
        yield Delivery(carrier, lambda: None)


async def added(url: str) -> dict[str, Any]:
    """A webhook for everything."""
    return await webhook.add(url, ["*"])


def envelope(event: Any = LOW, event_id: UUID | None = None) -> Envelope:
    """An event as it was read."""
    return Envelope(event_id or uuid4(), event.type, dt.datetime.now(dt.UTC), event.key, b"digest", event)


async def tell(times: int = 1) -> None:
    """Have webhooks told of so many events."""
    for _ in range(times):
        await announced(envelope())


async def announced(event: Envelope) -> None:
    """Have webhooks told of it, and nobody else."""
    await Intake(Contacts(Nobody()), (), lambda *_: None).handle(event)  # type: ignore[arg-type]


class Nobody:
    """A user service that knows nobody."""

    async def list_contacts(self, _: v1.ListContactsRequest) -> v1.ListContactsResponse:
        """None."""
        return v1.ListContactsResponse([])


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
