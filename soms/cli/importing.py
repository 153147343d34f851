"""`soms import`: orders of the past from a file, sent over REST in pieces, with progress and a report."""
# ruff: noqa: D301 the character \b keeps click from joining the lines of an example
# ruff: noqa: PLC0415 help comes at once if what a command needs is imported when it runs

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import aiohttp
import click
import orjson

from soms.config import Settings

if TYPE_CHECKING:
    from soms.cli.place import Manner

# a request each: short enough for one token, long enough to lose nothing by it
PIECE_LINES: Final = 2_000
PIECE_BYTES: Final = 8 << 20
REQUEST_SECONDS: Final = 300
TOKEN_SECONDS: Final = 240.0
ATTEMPTS: Final = 8
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 20.0
PASSING: Final = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
OUTCOMES: Final = ("created", "replayed", "refused")
Numbered = tuple[int, bytes]
Told = dict[int, dict[str, Any]]


@dataclass
class Report:
    """The sum of all reports; `value` in minor units by currency."""

    outcomes: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    units: int = 0
    value: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, told: Told, summary: dict[str, Any]) -> None:
        """Count what became of one piece."""
        self.outcomes.update(one["outcome"] for one in told.values())
        self.refused.update(one["reason"] for one in told.values() if one["outcome"] == "refused")
        self.units += summary["units"]
        self.value.update(summary["value"])


class Interrupted(Exception):
    """A piece was not answered, or not to the end: what it would have said may stand all the same."""


def pieces(lines: Iterable[bytes]) -> Iterator[list[Numbered]]:
    """The lines that say something, with their numbers in the file, as many together as a request may have."""
    piece: list[Numbered] = []
    size = 0
    for number, line in enumerate(lines, 1):
        if line.strip():
            piece.append((number, line.rstrip(b"\r\n")))
            size += len(line)
        if len(piece) == PIECE_LINES or size >= PIECE_BYTES:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


async def send(
    session: aiohttp.ClientSession, lines: Iterable[bytes], token: Callable[[], Awaitable[str]], tell: Callable[[Told], None]
) -> Report:
    """Send all `lines` and call `tell` with the reports on each piece, by their numbers in the file.

    What is passing is sent again: what was imported before is known by its number. Raises click.ClickException where that does not help.
    """
    report, began = Report(), time.perf_counter()
    for piece in pieces(lines):
        told: Told = {}
        summary = await _persist(session, piece, token, told)
        report.add(told, summary)
        tell(told)
    report.seconds = time.perf_counter() - began
    return report


async def _persist(
    session: aiohttp.ClientSession, piece: list[Numbered], token: Callable[[], Awaitable[str]], told: Told
) -> dict[str, Any]:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await _send(session, piece, await token(), told)
        except (Interrupted, aiohttp.ClientError, OSError, TimeoutError) as error:
            if attempt == ATTEMPTS:
                raise click.ClickException(
                    f"lines {piece[0][0]} to {piece[-1][0]}: {error}; send the file again when it is over"
                ) from error
            pause = min(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause * random.uniform(1, 1.25))  # noqa: S311 - spreads load
    raise AssertionError


async def _send(session: aiohttp.ClientSession, piece: list[Numbered], token: str, told: Told) -> dict[str, Any]:
    """Send a piece once and note what is told of each line; the summary."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    async with session.post("/api/v1/orders/import", data=_body(piece), headers=headers, timeout=timeout) as answer:
        if answer.status in PASSING:
            raise Interrupted(f"the gateway says {answer.status}")
        if answer.status != HTTPStatus.OK:
            raise click.ClickException((await answer.json(content_type=None)).get("detail", f"the gateway says {answer.status}"))
        async for line in answer.content:
            one = orjson.loads(line)
            if "summary" in one:
                if any(known["reason"] == "unavailable" for known in told.values()):
                    raise Interrupted("the order service is away")
                return dict(one["summary"])
            _note(told, piece[one["line"] - 1][0], one)
    raise Interrupted("the answer has no end")


def _note(told: Told, number: int, one: dict[str, Any]) -> None:
    """What an attempt that was interrupted created is created, whatever later ones say."""
    if told.get(number, {}).get("outcome") != "created":
        told[number] = one


async def _body(piece: list[Numbered]) -> AsyncIterator[bytes]:
    for _, line in piece:
        yield line + b"\n"


async def run(settings: Settings, lines: BinaryIO, size: int, manner: "Manner") -> Report:
    """Import the lines of a file of `size` bytes and tell people on standard error how it goes."""
    from soms.cli.place import reached
    from soms.cli.services import found
    from soms.cli.token import WAIT_SECONDS, issued

    known, since = manner.token or "", 0.0

    async def current() -> str:
        nonlocal known, since
        if manner.token is None and (not known or time.monotonic() - since > TOKEN_SECONDS):
            async with found(settings, "USER-SERVICE", timeout_seconds=WAIT_SECONDS) as services:
                known, since = await issued(services, manner.email, "staff"), time.monotonic()
        return known

    async with reached(settings, manner.url, manner.clients) as session:
        with click.progressbar(length=size, file=click.get_text_stream("stderr")) as bar:

            def tell(told: Told) -> None:
                bar.update(lines.tell() - bar.pos)
                for number, one in told.items():
                    if one["outcome"] == "refused":
                        click.echo(f"line {number}: {one['external_number'] or '?'}: {one['reason']}: {one['detail']}", err=True)

            return await send(session, iter(lines.readline, b""), current, tell)


def show(report: Report) -> None:
    """The report, for people."""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in report.refused.most_common())
    rows = [(word, report.outcomes[word], reasons if word == "refused" else "") for word in OUTCOMES]
    rows += [
        ("units", report.units, ""),
        *((f"value {currency}", total, "minor units") for currency, total in sorted(report.value.items())),
    ]
    for name, count, remark in rows:
        click.echo(f"{name:<10} {count:>14,}  {remark}".rstrip())
    rate = sum(report.outcomes.values()) / report.seconds if report.seconds else 0.0
    click.echo(f"{rate:,.0f} orders a second in {report.seconds:,.1f} s")


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--email", default="staff@soms.localhost", show_default=True, help="The staff in whose name; the account is made where missing."
)
@click.option("--token", help="Access token to use instead; then nothing but the gateway need be in reach.")
@click.option("--url", help="The gateway; by default the one of SOMS_WEB_HOST and SOMS_WEB_PORT.")
def import_(file: Path, email: str, token: str | None, url: str | None) -> None:
    """Import orders of the past. The exit code is 0 if none was refused.

    They keep their own numbers, times and prices; no stock moves and no customer is notified. The file has an order a line, as JSON;
    money is in minor units, quantities and prices may be negative or zero:

    \b
    {"external_number":"536365","placed_at":"2010-12-01T08:26:00Z","currency":"GBP","email":"ann@example.org","country":"GB",
     "lines":[{"sku":"85123A","name":"HOLDER","quantity":6,"unit_price":255}]}        (on one line)

    external_user, name and cancels (the external number of an order that this one undoes) may be there, too.

    \b
    soms import orders.ndjson
    soms import orders.ndjson --email ann@shop.example

    Each order is imported once, by its external number: after an interruption send the same file again.
    """
    from soms.cli.place import Manner
    from soms.config import settings

    with file.open("rb") as lines:
        report = asyncio.run(run(settings(), lines, file.stat().st_size, Manner(1, url, token, email)))
    show(report)
    if report.outcomes["refused"]:
        raise SystemExit(1)
