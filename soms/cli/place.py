"""`soms place`: orders from arguments or a file, placed over REST, with progress and a report."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

import aiohttp
import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from soms.cli.order_file import Order
from soms.cli.sending import Outcome, Report, Token, place_all
from soms.cli.services import found
from soms.cli.token import WAIT_SECONDS, Tokens
from soms.config import Settings
from soms.errors import InvalidArgument, Unavailable

# of every problem document (RFC 9457); what a reason adds of its own is worth telling
PROBLEM_MEMBERS = {"type", "title", "status", "detail", "reason", "request_id"}


@dataclass(frozen=True)
class Manner:
    """How to send: so many at a time, to the gateway at `url` (the local one without), as the holder of `token` or else of `email`."""

    clients: int
    url: str | None
    token: str | None
    email: str


def single(items: Sequence[str], key: str | None) -> Order:
    """The order of arguments such as `MUG-BLUE=2`; a key of its own unless one is given. Raises InvalidArgument."""
    order = Order("order", key or str(uuid.uuid4()))
    for item in items:
        sku, _, quantity = item.rpartition("=")
        if not sku or not quantity.isdecimal():
            raise InvalidArgument(f"an order is written SKU=QUANTITY, such as MUG-BLUE=2, not {item}")
        order.lines.append((sku, int(quantity)))
    return order


async def place(settings: Settings, orders: Sequence[Order], manner: Manner) -> Report:
    """Place `orders` and tell people on standard error how it goes."""
    async with _token(settings, manner) as token, reached(settings, manner.url, manner.clients) as session:
        with _progress(len(orders)) as tell:
            return await place_all(session, orders, manner.clients, token, tell)


@contextlib.asynccontextmanager
async def _token(settings: Settings, manner: Manner) -> AsyncIterator[Token]:
    """Gives the token of each order: always the one given, else one that the user service issues."""
    if given := manner.token:

        async def same(_order: Order) -> str:
            return given

        yield same
        return
    async with found(settings, "USER-SERVICE", timeout_seconds=WAIT_SECONDS) as services:
        yield Tokens(services, manner.email)


@contextlib.asynccontextmanager
async def reached(settings: Settings, given: str | None, clients: int) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with the gateway, the local one unless an address is given; raises Unavailable where it is not there."""
    url = given or f"http://{settings.web_host}:{settings.web_port}"
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=clients)) as session:
        try:
            async with session.get("/healthz", timeout=aiohttp.ClientTimeout(total=5)) as answer:
                answer.raise_for_status()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"no gateway answers at {url} ({error}): start one with `soms up`, or name another with --url") from error
        yield session


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[Outcome], None]]:
    """A bar on a terminal; what was not accepted is told line by line, and so is the order that comes alone."""
    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal or total == 1) as progress:
        task = progress.add_task("", total=total, rate="")

        def tell(outcome: Outcome) -> None:
            speed = progress.tasks[0].speed
            progress.update(task, advance=1, rate=f"{speed:,.0f}/s" if speed else "")
            if total == 1 and outcome.accepted:
                click.echo(sentence(outcome))
            elif not outcome.accepted:
                console.print(sentence(outcome), markup=False, highlight=False, soft_wrap=True)

        yield tell


def sentence(outcome: Outcome) -> str:
    """What became of one order."""
    document = outcome.document
    if outcome.accepted:
        again = " (placed before, not again)" if outcome.replayed else ""
        return f"{document['number']} placed: {document['currency']} {document['total']:,} in minor units, id {document['id']}{again}"
    found = {name: value for name, value in document.items() if name not in PROBLEM_MEMBERS}
    what = f"{outcome.order.name} {'failed' if outcome.passing else 'refused'}: {outcome.reason}: {document.get('detail', '')}"
    return f"{what} {orjson.dumps(found).decode()}" if found else what


def show(report: Report, orders: int, clients: int) -> None:
    """The report on so many orders, for people."""
    rows = [
        ("accepted", report.accepted, f"{report.replayed:,} of them placed before" if report.replayed else ""),
        ("refused", report.refused.total(), ", ".join(f"{reason} {count:,}" for reason, count in report.refused.most_common())),
        ("failed", report.failed.total(), ", ".join(f"{reason} {count:,}" for reason, count in report.failed.most_common())),
        *([("not sent", orders - report.sent, "too many failed in a row")] if orders > report.sent else []),
        ("units", report.units, ""),
        *((f"value {currency}", total, "minor units") for currency, total in sorted(report.value.items())),
    ]
    for name, count, remark in rows:
        click.echo(f"{name:<10} {count:>14,}  {remark}".rstrip())
    p50, p99 = report.percentile(50) * 1000, report.percentile(99) * 1000
    click.echo(
        f"{report.rate:,.1f} accepted a second in {report.seconds:,.1f} s, {clients} at a time; p50 {p50:,.1f} ms, p99 {p99:,.1f} ms"
    )
