"""Requests by hand to the running gateway, and somebody innocent who must not notice them."""

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

REPLY_SECONDS = 30
numbers = itertools.count(time.time_ns())


class Reply(NamedTuple):
    """What came back: the status, the reason of a refusal (empty for none), the body's value."""

    status: int
    reason: str
    body: Any

    @property
    def fields(self) -> dict[str, str]:
        """Which fields are wrong, and how."""
        return {error["field"]: error["code"] for error in self.body["errors"]}


class Wire:
    """Sends requests as they are, each on a connection of its own."""

    def __init__(self, port: int, token: str) -> None:
        """Talk to `port` with the token of a customer."""
        self.port, self.token = port, token

    async def raw(self, lines: Sequence[str], body: bytes = b"", then: Iterable[bytes | float] = ()) -> Reply:
        """The answer to a head of these lines and a body, after which `then` follows: bytes, or seconds of silence."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)

        async def write() -> None:
            with contextlib.suppress(ConnectionError):
                writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
                for piece in then:
                    if isinstance(piece, float):
                        await asyncio.sleep(piece)
                    else:
                        writer.write(piece)
                        await writer.drain()

        writing = asyncio.create_task(write())
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.partition("content-length:")[2].split()[0]) if "content-length:" in head else 0
                content = await reader.readexactly(length)
        finally:
            writing.cancel()
            writer.close()
        return told(head, content)

    async def get(self, path: str, *headers: str, method: str = "GET") -> Reply:
        """The answer to a request without a body, for a path from the root."""
        return await self.raw([f"{method} {path} HTTP/1.1", "Host: soms", f"Authorization: Bearer {self.token}", *headers])

    async def post(self, path: str, body: Any, *headers: str, then: Iterable[bytes | float] = (), method: str = "POST") -> Reply:
        """The answer to a body below /api/v1: bytes as they are, anything else as JSON; with a fresh key unless headers name one."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {header.partition(":")[0].lower() for header in headers}
        usual = {
            "content-type": "application/json",
            "content-length": str(len(content)),
            "idempotency-key": str(next(numbers)),
            "authorization": f"Bearer {self.token}",
        }
        if "transfer-encoding" in given:
            del usual["content-length"]
        lines = [f"{name}: {value}" for name, value in usual.items() if name not in given]
        return await self.raw(
            [f"{method} /api/v1{path} HTTP/1.1", "Host: soms", *lines, *(h for h in headers if not h.endswith(": "))], content, then
        )


def told(head: str, content: bytes) -> Reply:
    """The reply in `head` and `content`; every refusal is a problem with an id and says nothing of what we are made of."""
    status = int(head.split()[1])
    body = json.loads(content) if content else None
    if status >= 400:
        assert "content-type: application/problem+json" in head
        assert body["status"] == status
        assert f"x-request-id: {body['request_id']}" in head
        assert not any(word in content for word in (b"Traceback", b"aiohttp", b"pydantic", b".py"))
    return Reply(status, body.get("reason", "") if isinstance(body, dict) else "", body)


@pytest.fixture
async def wire(stack: Any) -> Wire:
    """A wire to the gateway."""
    return Wire(int(stack.url.rpartition(":")[2]), await stack.issue("hostile@example.org", "customer"))


class Bystander:
    """Somebody innocent who looks at their profile again and again, and remembers how long it took."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.headers = url, {"Authorization": f"Bearer {token}"}
        self.seconds, self.statuses = list[float](), set[int]()

    async def look(self) -> None:
        """Look fifty times a second until cancelled."""
        async with aiohttp.ClientSession(self.url, headers=self.headers) as session:
            while True:
                started = time.monotonic()
                async with session.get("/api/v1/users/me") as answer:
                    await answer.read()
                self.statuses.add(answer.status)
                self.seconds.append(time.monotonic() - started)
                await asyncio.sleep(0.02)


def memory_bytes(process: int) -> int:
    """The most memory that a process has had."""
    return int(Path(f"/proc/{process}/status").read_text().partition("VmHWM:")[2].split()[0]) * 1024


@pytest.fixture(scope="module", autouse=True)
async def bystander(stack: Any) -> AsyncIterator[Bystander]:
    """One bystander during all tests of a file, who had nothing but good answers; no process failed, and the gateway did not grow."""
    (gateway,) = stack.running("web")
    said = len(stack.output.read_text())
    before, watching = memory_bytes(gateway), Bystander(stack.url, await stack.issue("bystander@example.org", "customer"))
    task = asyncio.create_task(watching.look())
    yield watching
    assert not task.done()
    task.cancel()
    await asyncio.wait([task])
    assert watching.statuses == {200}
    assert sorted(watching.seconds)[len(watching.seconds) * 99 // 100] < 0.5  # a few milliseconds on a quiet machine
    assert [line for line in stack.output.read_text()[said:].splitlines() if '"level":"ERROR"' in line] == []
    assert stack.running("web") == [gateway]
    assert memory_bytes(gateway) - before < 64 * 1024 * 1024
