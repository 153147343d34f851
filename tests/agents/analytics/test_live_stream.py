"""Live figures over HTTP: the document and the stream, who may see them, and when the stream ends. No broker."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from prometheus_client import CollectorRegistry

from soms.agents import broadcast, live_views
from soms.agents.broadcast import Broadcast
from soms.agents.process import Vitals, listening
from soms.config import Settings
from soms.errors import Unavailable
from soms.tokens import Signer, Verifier


class Station:
    """A server that tells `figure`; it is away while that is None."""

    def __init__(self, settings: Settings) -> None:
        self.signer, self.verifier = Signer(settings), Verifier(settings)
        self.figure: int | None = 1
        self.broadcast = Broadcast("live", self.document)
        self.address = ""

    def document(self) -> dict[str, Any]:
        """What is told."""
        if self.figure is None:
            raise Unavailable("not yet", retry_after=1)
        return {"as_of": str(time.time()), "lag_seconds": 0.0, "figure": self.figure}

    def tell(self, figure: int | None) -> None:
        """Tell something else."""
        self.figure = figure
        self.broadcast.pulse.soon()

    def headers(self, role: str = "staff") -> dict[str, str]:
        """Of somebody who holds a role."""
        return {"Authorization": f"Bearer {self.signer.access_token(uuid.uuid4(), [role])}"}

    @contextlib.asynccontextmanager
    async def follow(self, **headers: str) -> AsyncIterator[aiohttp.StreamReader]:
        """A reader of the stream."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.address}/stream", headers=self.headers() | headers) as answer,
        ):
            assert answer.content_type == "text/event-stream"
            assert await answer.content.readuntil(b"\n\n") == b": here\n\n"
            yield answer.content


@pytest.fixture
async def station(tmp_path: Path) -> AsyncIterator[Station]:
    """A station on the air."""
    made = Station(Settings(home=tmp_path))
    routes = live_views.routes(made.verifier, made.document, made.broadcast)
    async with (
        made.broadcast.pulse.running(),
        listening("127.0.0.1", Vitals(registry=CollectorRegistry()), routes=routes) as port,
    ):
        made.address = f"http://127.0.0.1:{port}"
        yield made


async def event(reader: aiohttp.StreamReader, seconds: float = 5) -> tuple[str, Any]:
    """The id and figure of the next event."""
    async with asyncio.timeout(seconds):
        while (told := await reader.readuntil(b"\n\n")).startswith(b":"):
            pass
    lines = told.decode().strip().split("\n")
    said = dict(line.split(": ", 1) for line in lines)
    assert said["event"] == "live"
    return said["id"], orjson.loads(said["data"])["figure"]


async def test_the_stream_tells_what_changes(station: Station) -> None:
    """At once what is, then what is new, at most twice a second; what is still the same is not told again."""
    async with station.follow() as reader:
        assert (await event(reader))[1] == 1
        began, told = time.monotonic(), []
        for figure in range(2, 40):
            station.tell(figure)
            await asyncio.sleep(0.04)
        with contextlib.suppress(TimeoutError):
            while True:
                told.append((await event(reader, 1.2))[1])

    assert told[-1] == 39
    assert 2 <= len(told) <= 2 * (time.monotonic() - began) + 1


async def test_who_comes_back_is_told_what_is_new(station: Station) -> None:
    """With the id of the newest event nothing is told twice; with another id the newest event comes at once."""
    async with station.follow() as reader:
        known, _ = await event(reader)
    async with station.follow(**{"Last-Event-ID": known}) as reader:
        with pytest.raises(TimeoutError):
            await event(reader, 0.7)
        station.tell(2)
        assert (await event(reader))[1] == 2
    async with station.follow(**{"Last-Event-ID": "of-another"}) as reader:
        assert (await event(reader))[1] == 2


async def test_who_comes_later_hears_no_old_news(station: Station, eventually: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was told when somebody last listened is not told again as if it were new."""
    monkeypatch.setattr(live_views, "SILENCE_SECONDS", 0.1)
    async with station.follow() as reader:
        await event(reader)

    async def gone() -> bool:
        return not station.broadcast._listeners

    await eventually(gone)
    station.figure = 2
    await station.broadcast.run_once()
    async with station.follow() as reader:
        assert (await event(reader))[1] == 2


async def test_silence_is_broken(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """A comment says that the stream is there."""
    monkeypatch.setattr(live_views, "SILENCE_SECONDS", 0.1)
    async with station.follow() as reader:
        await event(reader)
        assert await reader.readuntil(b"\n\n") == b": here\n\n"


async def test_the_stream_ends_with_the_token(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon after."""
    monkeypatch.setattr(live_views, "SILENCE_SECONDS", 0.1)
    async with station.follow() as reader:
        await event(reader)
        clock = time.time
        monkeypatch.setattr("soms.tokens.time.time", lambda: clock() + 601)
        async with asyncio.timeout(5):
            while await reader.readany():
                pass


async def test_a_slow_reader_is_dropped(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not read is cut off, and the others hear all; nothing piles up."""
    monkeypatch.setattr(live_views, "WRITE_SECONDS", 0.3)
    monkeypatch.setattr(broadcast, "GAP_SECONDS", 0.01)
    large, dropped, stream = "x" * 4_000_000, asyncio.Event(), live_views._stream

    async def streaming(*told: Any) -> Any:
        try:
            return await stream(*told)
        finally:
            dropped.set()

    monkeypatch.setattr(live_views, "_stream", streaming)
    monkeypatch.setattr(station.broadcast, "_document", lambda: {"figure": station.figure, "large": large})
    async with station.follow() as slow:
        station.tell(5)
        with pytest.raises((aiohttp.ClientError, asyncio.IncompleteReadError)):
            async with asyncio.timeout(5):
                await dropped.wait()
                while True:
                    if not await slow.readany():
                        raise aiohttp.ClientPayloadError


@pytest.mark.parametrize(("role", "status"), [("customer", 403), ("", 401)])
@pytest.mark.parametrize("path", ["/live", "/stream"])
async def test_only_staff_see_figures(station: Station, role: str, status: int, path: str) -> None:
    """Customers and strangers do not."""
    headers = station.headers(role) if role else {}
    async with aiohttp.ClientSession() as session, session.get(f"{station.address}{path}", headers=headers) as answer:
        assert answer.status == status


@pytest.mark.parametrize("path", ["/live", "/stream"])
async def test_before_the_board_is_whole(station: Station, path: str) -> None:
    """Nothing half is told."""
    station.tell(None)
    async with aiohttp.ClientSession() as session, session.get(f"{station.address}{path}", headers=station.headers()) as answer:
        assert (answer.status, (await answer.json())["retry_after"]) == (503, 1)
