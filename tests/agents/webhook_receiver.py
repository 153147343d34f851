"""What webhooks lead to in tests: a real HTTP server on loopback, and a check of signatures that shares nothing with ours."""

import asyncio
import base64
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web
from cryptography.hazmat.primitives import hashes, hmac

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
