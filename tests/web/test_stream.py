"""Server-sent events through the gateway: as they come, for as long as the token holds, and for nobody who is too slow."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from soms.errors import Unauthenticated, Unavailable
from soms.web import stream
from soms.web.app import create_app
from soms.web.readiness import Readiness
from soms.web.server import listening

PATH = "/api/v1/analytics/stream"


@pytest.fixture
def staff(token: Any) -> dict[str, str]:
    """Headers with a token of staff."""
    return {"Authorization": f"Bearer {token('staff')}"}


@pytest.fixture
def pieces(agents: Any) -> Any:
    """What the agent says next: a queue."""
    queue: asyncio.Queue[bytes] = asyncio.Queue()
    agents.answers["GET", "/stream"] = queue
    return queue


@pytest.fixture
async def session(url: str) -> AsyncIterator[aiohttp.ClientSession]:
    """A browser, more or less."""
    async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=15)) as made:
        yield made


async def heard(answer: aiohttp.ClientResponse) -> bytes:
    """What comes next."""
    async with asyncio.timeout(5):
        return await answer.content.readany()


async def test_events_come_as_they_are_said(client: Any, session: Any, staff: Any, pieces: Any, agents: Any) -> None:
    """Each piece arrives by itself, comments too; the head says what it is and that nobody may keep it; the metrics count it."""
    async with session.get(PATH, headers=staff | {"Last-Event-ID": "41"}) as answer:
        assert await heard(answer) == stream.BEGINNING
        for piece in (b"event: live\nid: 42\ndata: {}\n\n", b": still here\n\n"):
            pieces.put_nowait(piece)
            assert await heard(answer) == piece
        assert b"soms_http_streams 1.0" in (await client("GET", "//metrics")).body
        pieces.put_nowait(b"")
        assert await heard(answer) == b""

    assert (answer.status, answer.content_type, answer.headers["Cache-Control"]) == (200, "text/event-stream", "no-store")
    assert answer.headers["X-Request-Id"]
    assert agents.calls == [("ANALYTICS-SERVICE", "GET", "/stream", None, {"resume": "41"})]


async def test_the_token_ends_and_so_does_the_stream(session: Any, staff: Any, pieces: Any, gateway: Any) -> None:
    """The next word of the agent, comments every 15 s included, is the last one for a token that does not hold any more."""

    def expired(_: str) -> None:
        raise Unauthenticated

    async with session.get(PATH, headers=staff) as answer:
        await heard(answer)
        gateway.verifier.verify = expired
        pieces.put_nowait(b": still here\n\n")

        assert await heard(answer) == b""


async def test_who_leaves_is_forgotten(session: Any, staff: Any, pieces: Any, gateway: Any, eventually: Any) -> None:
    """A reader who hangs up gives back the place with the agent's next words, and the agent is hung up on."""
    async with session.get(PATH, headers=staff) as answer:
        await heard(answer)
        [source] = gateway.streams._open

    async def left() -> bool:
        pieces.put_nowait(b": still here\n\n")
        return not gateway.streams._open and gateway.streams._gate.under_way == 0

    await eventually(left)
    assert source.closed


async def test_places_are_bounded_and_their_own(session: Any, staff: Any, pieces: Any, gateway: Any, client: Any) -> None:
    """One reader too many is told to come back; other requests never notice, and no place is lost by a refusal."""
    gateway.streams._gate._limit = 1
    async with session.get(PATH, headers=staff) as answer:
        await heard(answer)
        async with session.get(PATH, headers=staff) as refused:
            assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
        assert gateway._serving.under_way == 0
        assert (await client("GET", "/products")).status == 200
        pieces.put_nowait(b"")
        assert await heard(answer) == b""

    assert gateway.streams._gate.under_way == 0


async def test_an_agent_that_is_away(session: Any, staff: Any, agents: Any, gateway: Any) -> None:
    """No agent, no stream: a problem like any other."""
    agents.answers["GET", "/stream"] = Unavailable("no ANALYTICS-SERVICE answers", retry_after=1)
    async with session.get(PATH, headers=staff) as answer:
        assert (answer.status, answer.content_type) == (503, "application/problem+json")

    assert gateway.streams._gate.under_way == 0


async def test_head_opens_nothing(client: Any, token: Any, agents: Any) -> None:
    """HEAD tells the type alone."""
    reply = await client("HEAD", "/analytics/stream", token=token("staff"))

    assert (reply.status, reply.headers["Content-Type"], agents.calls) == (200, "text/event-stream", [])


async def test_slow_readers_are_dropped(url: str, staff: Any, pieces: Any, gateway: Any, eventually: Any) -> None:
    """Who does not read loses the connection, and what waits for them meanwhile is bounded."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    writer.write(f"GET {PATH} HTTP/1.1\r\nHost: soms\r\nAuthorization: {staff['Authorization']}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    for _ in range(2000):
        pieces.put_nowait(b"data: " + b"x" * 8000 + b"\n\n")

    async def dropped() -> bool:
        return not gateway.streams._open

    await eventually(dropped, stream.WRITE_SECONDS + 5)
    assert pieces.qsize() > 1000
    writer.close()


async def test_leaving_ends_streams_at_once(gateway: Any, staff: Any, pieces: Any) -> None:
    """A gateway that stops does not wait for streams to end by themselves; readers see a proper end."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        async with listening(create_app(gateway, Readiness({})), "127.0.0.1", 0) as port:
            answer = await session.get(f"http://127.0.0.1:{port}{PATH}", headers=staff)
            await heard(answer)
            leaving = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - leaving < 2
        assert await heard(answer) == b""
        answer.close()
