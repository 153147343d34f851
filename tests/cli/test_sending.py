"""Sending orders to gateways that are busy, rude or away; tests/e2e has the real one."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from soms.cli import sending
from soms.cli.order_file import Order
from soms.cli.sending import Report, place, place_all
from soms.errors import InvalidArgument, Unavailable
from soms.local import ports

Handler = Callable[[web.Request], Awaitable[web.Response]]
PLACED = {"number": "SO-1", "lines": [{"sku": "A", "quantity": 2}, {"sku": "B", "quantity": 1}], "currency": "GBP", "total": 700}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses that tests can wait for."""
    monkeypatch.setattr(sending, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(sending, "LONGEST_PAUSE_SECONDS", 0.005)


@contextlib.asynccontextmanager
async def gateway(handler: Handler) -> AsyncIterator[aiohttp.ClientSession]:
    """A session with a gateway that answers as `handler` does."""
    application = web.Application()
    application.router.add_post("/api/v1/orders", handler)
    async with TestServer(application) as server, aiohttp.ClientSession(server.make_url("")) as session:
        yield session


def order(number: int = 1) -> Order:
    """An order of two lines."""
    return Order(str(number), f"key-{number}", [("A", 2), ("B", 1)])


def problem(status: int, reason: str, **headers: str) -> web.Response:
    """A refusal."""
    return web.json_response({"reason": reason, "detail": reason}, status=status, headers=headers)


async def test_passing_refusals_are_repeated_under_one_key() -> None:
    """Busy, throttled, in flight, a hiccup of a proxy: the same request again, until it is accepted."""
    answers = iter(
        [
            problem(503, "unavailable", **{"Retry-After": "1"}),
            problem(429, "rate_limited", **{"Retry-After": "0"}),
            problem(409, "in_flight", **{"Retry-After": "1"}),
            web.Response(status=502, text="<html>"),
            web.json_response(PLACED, status=201, headers={"Idempotent-Replayed": "true"}),
        ]
    )
    seen: list[tuple[str, bytes]] = []

    async def busy(request: web.Request) -> web.Response:
        seen.append((request.headers["Idempotency-Key"], await request.read()))
        return next(answers)

    async with gateway(busy) as session:
        outcome = await place(session, order())

    assert (outcome.accepted, outcome.replayed) == (True, True)
    assert set(seen) == {("key-1", b'{"lines":[{"sku":"A","quantity":2},{"sku":"B","quantity":1}]}')}
    assert len(seen) == 5


async def test_lasting_refusals_are_not_repeated() -> None:
    """What the request itself has wrong is asked once."""
    asked = itertools.count(1)

    async def stern(request: web.Request) -> web.Response:
        next(asked)
        return problem(409, "insufficient_stock")

    async with gateway(stern) as session:
        outcome = await place(session, order())

    assert (outcome.accepted, outcome.passing, outcome.reason) == (False, False, "insufficient_stock")
    assert next(asked) == 2


async def test_attempts_have_an_end() -> None:
    """A gateway that is always busy is asked ten times; one that hangs up, too."""
    asked = itertools.count(1)

    async def hanging_up(request: web.Request) -> web.Response:
        if next(asked) % 2 and request.transport:
            request.transport.abort()
        return problem(503, "unavailable")

    async with gateway(hanging_up) as session:
        outcome = await place(session, order())

    assert (outcome.status, outcome.passing) == (503, True)
    assert next(asked) == sending.ATTEMPTS + 1


async def test_nobody_there_ends_a_long_file_early() -> None:
    """After 20 failures in a row the rest is not tried."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{ports.choose(1)[0]}") as session:
        report = await place_all(session, map(order, range(1000)), clients=4)

    assert report.failed == {"no_answer": report.sent}
    assert 20 <= report.sent <= 23


async def test_no_more_clients_than_said() -> None:
    """So many orders are under way at a time, and no more; all come to an end."""
    under_way, most, five = 0, 0, asyncio.Barrier(5)

    async def counting(request: web.Request) -> web.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await five.wait()
        under_way -= 1
        return web.json_response(PLACED, status=201)

    async with gateway(counting) as session:
        report = await place_all(session, map(order, range(60)), clients=5)

    assert most == 5
    assert (report.accepted, report.units, report.value) == (60, 180, {"GBP": 42_000})


async def test_tokens_go_with_their_orders_and_one_without_does_not_stop_the_rest() -> None:
    """An e-mail that nobody can have is a refusal of its order, a silent user service a failure."""

    async def token(order: Order) -> str:
        if order.name == "2":
            raise InvalidArgument("no e-mail")
        if order.name == "3":
            raise Unavailable
        return f"token-{order.name}"

    async def echoing(request: web.Request) -> web.Response:
        return problem(401, request.headers["Authorization"])

    async with gateway(echoing) as session:
        report = await place_all(session, map(order, (1, 2, 3, 4)), clients=2, token=token)

    assert report.refused == {"Bearer token-1": 1, "validation_failed": 1, "Bearer token-4": 1}
    assert report.failed == {"unavailable": 1}


@pytest.mark.parametrize(("percent", "expected"), [(50, 5), (99, 10), (100, 10), (10, 1), (1, 1)])
def test_percentiles_are_nearest_ranks(percent: float, expected: float) -> None:
    """Of ten latencies, half are at most the fifth."""
    assert Report(latencies=[10, 1, 2, 3, 4, 5, 6, 7, 8, 9]).percentile(percent) == expected
