"""`soms import` against a gateway of our own making: pieces, numbers of lines, interruptions."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import click
import pytest
from aiohttp import web

from soms.cli import importing
from soms.cli.importing import Report, Told, pieces, send


class Books:
    """A gateway that takes each number once; `troubles` are statuses to answer with first, or None to break off halfway."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.troubles: list[int | None] = []
        self.requests = 0

    async def import_orders(self, request: web.Request) -> web.StreamResponse:
        """Take what comes."""
        self.requests += 1
        trouble = self.troubles.pop(0) if self.troubles else 200
        sent = [json.loads(line) for line in (await request.read()).splitlines()]
        if trouble not in {200, None}:
            return web.json_response({"detail": "not now"}, status=trouble)
        answer = web.StreamResponse()
        await answer.prepare(request)
        units = 0
        for n, order in enumerate(sent[: len(sent) // 2] if trouble is None else sent, 1):
            number = order["external_number"]
            outcome = "refused" if number == "bad" else "replayed" if number in self.known else "created"
            self.known.add(number)
            units += outcome != "refused"
            told = {"line": n, "external_number": number, "outcome": outcome, "reason": "wrong" if outcome == "refused" else None}
            await answer.write(json.dumps(told).encode() + b"\n")
        if trouble is None:
            assert request.transport
            request.transport.abort()
        else:
            summary = {"units": units, "value": {"GBP": units * 100} if units else {}}
            await answer.write(json.dumps({"summary": summary}).encode() + b"\n")
        return answer


@pytest.fixture
async def books() -> Books:
    """The gateway's inside."""
    return Books()


@pytest.fixture
async def session(books: Books, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with it; pauses are short."""
    monkeypatch.setattr(importing, "FIRST_PAUSE_SECONDS", 0.001)
    app = web.Application()
    app.router.add_post("/api/v1/orders/import", books.import_orders)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        yield session
    await runner.cleanup()


def file(*numbers: str) -> list[bytes]:
    """Lines of a file; an empty number is an empty line."""
    return [json.dumps({"external_number": number}).encode() + b"\r\n" if number else b"\n" for number in numbers]


async def sent(session: aiohttp.ClientSession, lines: list[bytes]) -> tuple[Report, Told]:
    """The report, and what was told."""
    heard: Told = {}

    async def token() -> str:
        return "t"

    return await send(session, lines, token, heard.update), heard


async def test_a_file_goes_in_pieces(session: aiohttp.ClientSession, books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports bear the numbers of the lines in the file; sums are those of all pieces."""
    monkeypatch.setattr(importing, "PIECE_LINES", 2)
    report, heard = await sent(session, file("1", "", "2", "bad", "1", "", "3"))

    assert {number: one["outcome"] for number, one in heard.items()} == {
        1: "created",
        3: "created",
        4: "refused",
        5: "replayed",
        7: "created",
    }
    assert (books.requests, report.outcomes, report.refused) == (3, {"created": 3, "refused": 1, "replayed": 1}, {"wrong": 1})
    assert (report.units, report.value) == (4, {"GBP": 400})


async def test_what_was_created_before_an_interruption_was_created(session: aiohttp.ClientSession, books: Books) -> None:
    """Busy, then cut off halfway, then well: all are created, each once."""
    books.troubles = [503, 429, None]
    report, _ = await sent(session, file(*map(str, range(10))))

    assert (report.outcomes, report.units) == ({"created": 10}, 10)
    assert books.requests == 4


async def test_what_is_refused_for_good_ends_it(session: aiohttp.ClientSession, books: Books) -> None:
    """A token that may not is told of at once."""
    books.troubles = [403]
    with pytest.raises(click.ClickException, match="not now"):
        await sent(session, file("1"))

    assert books.requests == 1


async def test_there_is_an_end_to_patience(session: aiohttp.ClientSession, books: Books) -> None:
    """A gateway that never takes it is told of, with the lines."""
    books.troubles = [503] * importing.ATTEMPTS
    with pytest.raises(click.ClickException, match="lines 1 to 2"):
        await asyncio.wait_for(sent(session, file("1", "2")), 10)


def test_pieces_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long lines make short pieces."""
    monkeypatch.setattr(importing, "PIECE_BYTES", 100)
    found: list[Any] = list(pieces([b"x" * 60 + b"\n"] * 5))

    assert [[number for number, _ in piece] for piece in found] == [[1, 2], [3, 4], [5]]
