"""A real Eureka, a view past our own client of what it knows, a line to it that can be cut, and a waiter."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from soms.config import Settings
from soms.local import ports
from soms.local.eureka import Eureka


class View:
    """The registry over plain REST."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url, self._http = url, http

    async def send(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """The status and JSON of a request below the base."""
        async with self._http.request(method, self.url + path, json=body, headers={"Accept": "application/json"}) as answer:
            return answer.status, await answer.json() if "json" in answer.content_type else None

    async def instance(self, app: str, port: int) -> dict[str, Any] | None:
        """The instance as registered."""
        found: dict[str, Any] | None
        _, found = await self.send("GET", f"/apps/{app}/127.0.0.1:{app}:{port}")
        return found and found["instance"]

    async def status(self, app: str, port: int) -> str | None:
        """The instance's status, None where there is no such instance."""
        found = await self.instance(app, port)
        return str(found["status"]) if found else None


class Line:
    """A TCP line to a port that can be cut, or hold back what is sent until it is let go."""

    def __init__(self, target: int) -> None:
        self._target = target
        self.port = ports.choose(1)[0]
        self.open = asyncio.Event()
        self.open.set()
        self.waiting = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listening: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The base of Eureka over this line."""
        return f"http://127.0.0.1:{self.port}/eureka"

    async def connect(self) -> None:
        """Let callers through."""
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """End all connections and refuse new ones."""
        if self._listening:
            self._listening.close()
            self._listening = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._target)
        for source, sink, held in ((reader, there[1], True), (there[0], writer, False)):
            task = asyncio.create_task(self._pipe(source, sink, held=held))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, held: bool) -> None:
        try:
            while data := await source.read(65536):
                if held and not self.open.is_set():
                    self.waiting.set()
                    await self.open.wait()
                sink.write(data)
                await sink.drain()
        finally:
            sink.close()
            with contextlib.suppress(OSError):
                await sink.wait_closed()


async def _until(check: Callable[[], Awaitable[object]], seconds: float = 20) -> None:
    """Wait until `check` gives something true; raises TimeoutError after `seconds`."""
    async with asyncio.timeout(seconds):
        while not await check():  # noqa: ASYNC110 - the other side is another program
            await asyncio.sleep(0.02)


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """The waiter."""
    return _until


@pytest.fixture(scope="session")
async def eureka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Eureka]:
    """A registry of this run."""
    engine = Eureka(tmp_path_factory.mktemp("eureka"), ports.choose(1)[0])
    async with engine.running():
        yield engine


@pytest.fixture
async def view(eureka: Eureka) -> AsyncIterator[View]:
    """What the registry knows."""
    async with aiohttp.ClientSession() as http:
        yield View(str(eureka.record["url"]), http)


@pytest.fixture
async def line(eureka: Eureka) -> AsyncIterator[Line]:
    """A line to the registry, connected."""
    made = Line(eureka.port)
    await made.connect()
    yield made
    await made.cut()


@pytest.fixture
def settings(view: View, tmp_path: Path) -> Settings:
    """Settings that name the registry."""
    return Settings(home=tmp_path, eureka=view.url, host="127.0.0.1")


@pytest.fixture
def over_line(line: Line, tmp_path: Path) -> Settings:
    """Settings that name the registry over the line."""
    return Settings(home=tmp_path, eureka=line.url, host="127.0.0.1")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter times, so that a lease ends within six seconds."""
    monkeypatch.setattr("soms.discovery.RENEW_SECONDS", 0.3)
    monkeypatch.setattr("soms.discovery.LEASE_SECONDS", 2)
    monkeypatch.setattr("soms.discovery.FETCH_SECONDS", 0.1)
    monkeypatch.setattr("soms.discovery.FETCH_GAP_SECONDS", 0.05)
