"""A real gateway over HTTP, in front of services that say what a test wants them to say."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
import pytest
from yarl import URL

from soms.config import Settings
from soms.rpc import context
from soms.tokens import Signer, Verifier
from soms.web.app import create_app
from soms.web.gateway import Gateway
from soms.web.readiness import Readiness
from soms.web.server import listening
from tests.web.samples import ADA, agent_answers, answers, samples


@dataclass
class Service:
    """Answers each method with what stands under its name: a message, a coroutine function of the request, or an error to raise."""

    answers: dict[str, Any]
    calls: list[tuple[str, Any, context.Call]] = field(default_factory=list)

    def __getattr__(self, method: str) -> Any:
        async def call(message: Any) -> Any:
            under_way = context.current()
            assert under_way is not None
            self.calls.append((method, message, under_way))
            answer = self.answers[method]
            if isinstance(answer, Exception):
                raise answer
            return await answer(message) if callable(answer) else answer

        return call

    @property
    def asked(self) -> Any:
        """The last request."""
        return self.calls[-1][1]


@dataclass
class Agents:
    """Answers questions with what stands under method and path, with {id} for ids: a document, or an error to raise."""

    answers: dict[tuple[str, str], Any] = field(default_factory=agent_answers)
    calls: list[tuple[str, str, str, Any, dict[str, Any]]] = field(default_factory=list)

    async def ask(self, service: str, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Keep the question and answer it."""
        self.calls.append((service, method, path, body, query))
        answer = self.answers[method, re.sub("[0-9a-f-]{36}", "{id}", path)]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def follow(self, service: str, path: str, resume: str = "") -> Any:
        """A stream of the pieces that stand under its path."""
        return Stream(await self.ask(service, "GET", path, resume=resume))


class Stream:
    """A stream of what a test puts into a queue, up to nothing; closed, it ends."""

    def __init__(self, pieces: Any) -> None:
        self._pieces: Any = asyncio.Queue() if isinstance(pieces, list) else pieces
        for piece in pieces if isinstance(pieces, list) else ():
            self._pieces.put_nowait(piece)
        self.closed = False

    async def piece(self) -> bytes:
        """The next one."""
        found: bytes = await self._pieces.get()
        return found

    def close(self) -> None:
        """End."""
        self.closed = True
        self._pieces.put_nowait(b"")


@pytest.fixture
def agents() -> Agents:
    """The agents, who all answer."""
    return Agents()


@pytest.fixture
def gateway_settings(tmp_path: Path) -> Settings:
    """Settings without limits of rate."""
    return Settings(home=tmp_path, rate_limit="off")


@pytest.fixture
def services() -> Any:
    """The three services, which all answer."""
    return SimpleNamespace(users=Service(answers(samples())), products=Service(answers(samples())), orders=Service(answers(samples())))


@pytest.fixture
def token(gateway_settings: Settings) -> Callable[..., str]:
    """`token("staff")`: an access token with these roles."""
    signer = Signer(gateway_settings)
    return lambda *roles, user_id=ADA: signer.access_token(user_id, {"customer", *roles}, "ada@example.com")


@pytest.fixture
def gateway(gateway_settings: Settings, services: Any, agents: Any) -> Gateway:
    """The gateway's inside."""
    return Gateway(gateway_settings, services, agents, Verifier(gateway_settings))


@pytest.fixture
def states() -> dict[str, bool]:
    """What readiness finds; a test may change it."""
    return {"user": True, "product": True, "order": True}


@pytest.fixture
async def url(gateway: Gateway, states: dict[str, bool]) -> AsyncIterator[str]:
    """Where the gateway listens."""

    def probe(name: str) -> Callable[[], Any]:
        async def ask() -> bool:
            return states[name]

        return ask

    async with listening(create_app(gateway, Readiness({name: probe(name) for name in states})), "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


@dataclass
class Reply:
    """An answer, read to its end."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return orjson.loads(self.body)

    @property
    def problem(self) -> tuple[int, str]:
        """Status and reason of a refusal."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.json["status"] == self.status
        return self.status, self.json["reason"]


@dataclass
class Client:
    """`await client("POST", "/orders", json=…, token=…, key=…)`: paths below /api/v1, or from the root with two slashes."""

    url: str
    session: aiohttp.ClientSession

    async def __call__(self, method: str, path: str, *, token: str | None = None, key: str | None = None, **more: Any) -> Reply:
        """Send a request and read the answer."""
        mine = {"Authorization": token and f"Bearer {token}", "Idempotency-Key": key}
        headers = [*dict(more.pop("headers", {})).items(), *((name, value) for name, value in mine.items() if value)]
        where = path[1:] if path.startswith("//") else f"/api/v1{path}"
        async with self.session.request(method, URL(self.url + where, encoded=True), headers=headers, **more) as answer:
            return Reply(answer.status, answer.headers, await answer.read())


@pytest.fixture
def raw(url: str) -> Callable[..., Awaitable[bytes]]:
    """HTTP by hand and what comes back, 4 KiB of it.

    `await raw("GET /healthz", "Name: value", then=b"…", times=1)` sends the head and, so many times, what then follows.
    """

    async def send(request: str, *headers: str, then: bytes = b"", times: int = 1) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
        lines = (f"{request} HTTP/1.1", "Host: soms", *headers, "", "")
        writer.write("\r\n".join(lines).encode("latin-1"))

        async def follow() -> None:
            for _ in range(times):
                writer.write(then)
                await writer.drain()

        following = asyncio.create_task(follow())
        try:
            async with asyncio.timeout(15):
                return await reader.readuntil(b"\r\n\r\n") + await reader.read(4096)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            writer.close()

    return send


@pytest.fixture
async def client(url: str) -> AsyncIterator[Client]:
    """A client of the gateway."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20), connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Client(url, session)
