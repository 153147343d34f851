"""Importing over REST: lines in, reports out, both as they come."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import aiohttp
import orjson
import pytest

from soms.errors import FailedPrecondition, Unavailable
from soms.rpc.gen.soms import v1
from soms.web import ndjson, order_import
from tests.web.samples import ID

PATH = "/orders/import"
NDJSON = {"Content-Type": "application/x-ndjson"}
ORDER = {"placed_at": "2010-12-01T08:26:00Z", "currency": "GBP", "lines": [{"sku": "A", "name": "a", "quantity": 6, "unit_price": 255}]}


def lines(*values: Any) -> bytes:
    """NDJSON."""
    return b"".join(value if isinstance(value, bytes) else orjson.dumps(value) + b"\n" for value in values)


def past(number: Any, **more: Any) -> dict[str, Any]:
    """One order."""
    return {"external_number": number, **ORDER, **more}


def reports(body: bytes) -> list[Any]:
    """What was told."""
    return [orjson.loads(line) for line in body.splitlines()]


class Books:
    """An order service that takes whatever comes, each number once."""

    def __init__(self) -> None:
        self.calls: list[list[v1.ImportOrdersRequest]] = []
        self.known: set[str] = set()
        self.failures: list[Exception] = []
        self.refused: dict[str, Exception] = {}

    async def __call__(self, messages: Iterable[v1.ImportOrdersRequest]) -> v1.ImportOrdersResponse:
        """Take it, or fail."""
        self.calls.append(list(messages))
        if self.failures:
            raise self.failures.pop(0)
        outcomes = []
        for message in self.calls[-1]:
            if message.order:
                number = message.order.external_number
                if number in self.refused:
                    raise self.refused[number]
                outcomes.append(v1.ImportOutcome(ID, number in self.known))
                self.known.add(number)
        return v1.ImportOrdersResponse(outcomes)


@pytest.fixture
def books(services: Any, monkeypatch: pytest.MonkeyPatch) -> Books:
    """The order service, and no long pauses."""
    monkeypatch.setattr(order_import, "PAUSE_SECONDS", 0.001)
    services.orders.answers["import_orders"] = books = Books()
    return books


async def test_every_line_is_reported_and_the_sum_at_the_end(client: Any, token: Any, books: Books) -> None:
    """Good, repeated, broken and wrong lines each have their report, with their number; empty lines count but say nothing."""
    sent = lines(past("1"), b"\n", past("1"), b"{\n", past("3", lines=[]), b"[]\r\n", past(4), b'{"a":1,"a":2}')
    reply = await client("POST", PATH, token=token("staff"), headers=NDJSON, data=sent)

    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/x-ndjson")
    *told, last = reports(reply.body)
    assert [(one["line"], one["external_number"], one["outcome"], one["order_id"], one["reason"]) for one in told] == [
        (1, "1", "created", ID, None),
        (3, "1", "replayed", ID, None),
        (4, None, "refused", None, "malformed_body"),
        (5, "3", "refused", None, "validation_failed"),
        (6, None, "refused", None, "validation_failed"),
        (7, None, "refused", None, "validation_failed"),
        (8, None, "refused", None, "malformed_body"),
    ]
    assert told[3]["detail"].startswith("lines: ")
    assert last == {"summary": {"created": 1, "replayed": 1, "refused": 5, "units": 12, "value": {"GBP": 3060}}}


async def test_nothing_is_a_sum_of_nothing(client: Any, token: Any, books: Books) -> None:
    """An empty body has a summary and no report."""
    reply = await client("POST", PATH, token=token("staff"), headers=NDJSON, data=b"")

    assert reports(reply.body) == [{"summary": {"created": 0, "replayed": 0, "refused": 0, "units": 0, "value": {}}}]


async def test_reports_come_while_lines_are_sent(client: Any, token: Any, books: Books) -> None:
    """Who waits for the report of one line before sending the next gets it."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def sent() -> AsyncIterator[bytes]:
        for n in range(3):
            yield lines(past(str(n)))
            assert (await heard.get()).startswith(b'{"line":%d,' % (n + 1))

    headers = NDJSON | {"Authorization": f"Bearer {token('staff')}"}
    async with client.session.post(f"{client.url}/api/v1{PATH}", headers=headers, data=sent()) as answer:
        async for line in answer.content:
            heard.put_nowait(line)
        assert line.startswith(b'{"summary":')
    assert len(books.calls) == 3


async def test_long_orders_go_in_pieces(client: Any, token: Any, books: Books) -> None:
    """10,000 lines are ten messages of one order; all that is said arrives."""
    goods = [{"sku": f"{n}", "quantity": -n, "unit_price": n - 5000} for n in range(10_000)]
    said = past("1", lines=goods, email="Ann@Example.org", external_user="17850", name="Ann", country="EIRE", cancels="0")
    reply = await client("POST", PATH, token=token("staff"), headers=NDJSON, data=lines(said))

    assert reports(reply.body)[0]["outcome"] == "created"
    (messages,) = books.calls
    head = messages[0].order
    assert head is not None
    assert [message.order is None for message in messages] == [False] + [True] * 9
    assert (head.email, head.external_user, head.name, head.country, head.cancels) == ("ann@example.org", "17850", "Ann", "EIRE", "0")
    assert head.placed_at.isoformat() == "2010-12-01T08:26:00+00:00"
    assert [line.unit_price for message in messages for line in message.lines] == [n - 5000 for n in range(10_000)]


async def test_what_is_passing_is_tried_again(client: Any, token: Any, books: Books) -> None:
    """The service comes back: nobody notices. It stays away from the beginning: 503, so that nothing seems imported."""
    books.failures = [Unavailable("away")] * 2
    assert (
        reports((await client("POST", PATH, token=token("staff"), headers=NDJSON, data=lines(past("1")))).body)[0]["outcome"] == "created"
    )

    books.failures = [Unavailable("away")] * order_import.TRIES
    reply = await client("POST", PATH, token=token("staff"), headers=NDJSON, data=lines(past("2")))
    assert reply.problem == (503, "unavailable")


async def test_trouble_on_the_way_is_reported_line_by_line(client: Any, token: Any, books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once something was told, the lines of a batch that failed are refused for its reason, and the rest goes on."""
    monkeypatch.setattr(order_import, "BATCH_WEIGHT", 1)
    books.refused["2"] = FailedPrecondition("full")
    reply = await client("POST", PATH, token=token("staff"), headers=NDJSON, data=lines(past("1"), past("2"), past("3")))

    *told, last = reports(reply.body)
    assert [one["reason"] for one in told] == [None, "failed_precondition", None]
    assert last["summary"] == {"created": 2, "replayed": 0, "refused": 1, "units": 12, "value": {"GBP": 3060}}


async def test_a_line_too_long_is_passed_over(client: Any, token: Any, books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused and never kept; the next one is read as ever."""
    monkeypatch.setattr(ndjson, "LINE_LIMIT_BYTES", 1000)
    reply = await client("POST", PATH, token=token("staff"), headers=NDJSON, data=lines(past("1" * 200_000), past("2"), past("3" * 2000)))

    assert [(one.get("line"), one.get("reason")) for one in reports(reply.body)[:3]] == [(1, "too_large"), (2, None), (3, "too_large")]


async def test_a_client_that_falls_silent_is_let_go(client: Any, token: Any, books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything was told it is a 408, afterwards an answer without an end."""
    monkeypatch.setattr(ndjson, "IDLE_SECONDS", 0.5)
    never = asyncio.Event()

    async def silent(*said: bytes) -> AsyncIterator[bytes]:
        for piece in said:
            yield piece
        await never.wait()

    assert (await client("POST", PATH, token=token("staff"), headers=NDJSON, data=silent(b'{"exter'))).problem == (408, "timeout")
    with pytest.raises(aiohttp.ClientError):
        await client("POST", PATH, token=token("staff"), headers=NDJSON, data=silent(lines(past("1"))))


@pytest.mark.parametrize("said", ["application/json", "text/csv", ""])
async def test_other_media_types_are_refused(client: Any, token: Any, books: Books, said: str) -> None:
    """One line of JSON is NDJSON only if it is called so."""
    reply = await client("POST", PATH, token=token("staff"), headers={"Content-Type": said}, data=lines(past("1")))

    assert reply.problem == (415, "unsupported_media_type")
    assert books.calls == []


async def test_customers_import_nothing(client: Any, token: Any, books: Books) -> None:
    """It takes staff."""
    assert (await client("POST", PATH, headers=NDJSON, data=b"")).problem == (401, "unauthenticated")
    assert (await client("POST", PATH, token=token(), headers=NDJSON, data=b"")).problem == (403, "forbidden")
