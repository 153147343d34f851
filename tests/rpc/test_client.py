"""Calls of other services: in whose name, until when, and what comes of them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from soms import errors
from soms.rpc import channel as channels
from soms.rpc import context
from soms.rpc.client import Call, Services, calling, connected
from soms.rpc.gen.soms import v1
from soms.rpc.server import serving

ORDER = "ORDER-SERVICE"
# an empty SETTINGS frame
SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
REQUEST = v1.GetOrderRequest(id="x")


@pytest.fixture
async def services(served: Any, listing: Any) -> AsyncIterator[Services]:
    """Stubs for a process `web` that finds the server under test."""
    listing.put(ORDER, served.port)
    async with connected(served.settings, listing, "web", edge=True) as services:
        yield services


def inside(**about: Any) -> Any:
    """A call under way with two seconds left."""
    return calling(Call(**{"deadline": time.monotonic() + 2, **about}))


async def seen(served: Any, call: Any) -> Any:
    """What the server knows of a call."""
    found = []

    async def look(message: Any) -> Any:
        found.append(context.current())
        return v1.GetOrderResponse()

    served.echo.do = look
    await call
    return found[0]


async def test_call_in_the_name_of_the_caller(served: Any, services: Services) -> None:
    """Token, request id and traceparent of the call under way are passed on."""
    token, trace = served.token("customer"), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with inside(token=token, request_id="abc", traceparent=trace):
        call = await seen(served, services.orders.place_order(v1.PlaceOrderRequest()))

    assert (call.identity.email, call.request_id, call.traceparent) == ("ann@example.com", "abc", trace)


async def test_call_in_the_name_of_the_process(served: Any, services: Services) -> None:
    """`as_service` shows who the process is instead, and keeps the request id."""
    with inside(token=served.token("customer"), request_id="abc"):
        call = await seen(served, services.as_service.orders.cancel_order(v1.CancelOrderRequest()))

    assert (call.identity.service, call.identity.user_id, call.request_id) == ("web", None, "abc")


async def test_call_without_a_caller(services: Services) -> None:
    """Where no call is under way there is no token to show."""
    with pytest.raises(errors.Unauthenticated):
        await services.orders.place_order(v1.PlaceOrderRequest())


@pytest.mark.parametrize(
    ("under_way", "asked", "most"), [(None, None, 2.0), (None, 5.0, 5.0), (1.0, None, 1.0), (1.0, 0.5, 0.5), (0.5, 5.0, 0.5)]
)
async def test_deadline_is_passed_on(served: Any, services: Services, under_way: float | None, asked: float | None, most: float) -> None:
    """A call may take what is left of the call under way, two seconds without one, less where told so."""
    started = time.monotonic()
    if under_way is None:
        call = await seen(served, services.orders.get_order(REQUEST, timeout=asked))
    else:
        with inside(deadline=started + under_way):
            call = await seen(served, services.orders.get_order(REQUEST, timeout=asked))

    assert most - 0.4 < call.deadline - started <= most + 0.05


async def test_errors_come_back_as_they_were_raised(served: Any, services: Services) -> None:
    """The exception of the other side, with everything it says, however much that is."""
    short = [{"sku": f"{'S' * 58}-{number:05}", "requested": 1_000_000, "available": 0} for number in range(1000)]

    async def fail(message: Any) -> Any:
        raise errors.FailedPrecondition("too little", reason="insufficient_stock", short=short)

    served.echo.do = fail
    with pytest.raises(errors.FailedPrecondition) as caught:
        await services.orders.get_order(REQUEST)

    assert (caught.value.reason, caught.value.message, caught.value.details) == ("insufficient_stock", "too little", {"short": short})


async def test_no_answer_in_time(served: Any, services: Services) -> None:
    """DeadlineExceeded, when the time is up and not later."""

    async def hang(message: Any) -> Any:
        await asyncio.Event().wait()

    served.echo.do = hang
    started = time.monotonic()
    with pytest.raises(errors.DeadlineExceeded):
        await services.orders.get_order(REQUEST, timeout=0.1)

    assert time.monotonic() - started < 0.5


async def test_caller_who_gives_up(served: Any, services: Services) -> None:
    """Cancelling a call cancels it on the other side too."""
    ended = asyncio.Event()

    async def hang(message: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    served.echo.do = hang
    task = asyncio.create_task(services.orders.get_order(REQUEST))
    await served.until(lambda: served.server._calls)
    task.cancel()
    async with asyncio.timeout(2):
        await ended.wait()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_impossible_values_are_the_callers_fault(services: Services) -> None:
    """A number that the field cannot hold is refused before anything is sent."""
    with pytest.raises(errors.InvalidArgument):
        await services.orders.list_orders(v1.ListOrdersRequest(page_size=2**40))


async def test_nobody_is_up(services: Services) -> None:
    """Without an instance the call waits for one a little, then says when to come again."""
    started = time.monotonic()
    with pytest.raises(errors.Unavailable) as caught:
        await services.users.login(v1.LoginRequest())

    assert caught.value.retry_after == 1
    assert 0.3 < time.monotonic() - started < 1


async def test_first_instance_comes_up_meanwhile(served: Any, listing: Any) -> None:
    """A call made before the first instance is known is answered by it."""
    async with connected(served.settings, listing, "web") as services:
        call = asyncio.create_task(services.orders.get_order(REQUEST))
        await asyncio.sleep(0)
        listing.put(ORDER, served.port)

        assert (await call).order


async def test_many_calls_on_a_new_connection(served: Any, services: Services) -> None:
    """Calls beyond the streams that a server allows wait for their turn, from the first moment on."""
    answers = await asyncio.gather(*[services.orders.get_order(REQUEST) for _ in range(190)])

    assert len(answers) == 190
    assert len(served.server._protocols) == 1


@asynccontextmanager
async def stopped_process(greeting: bytes = b"") -> AsyncIterator[int]:
    """The port of a process that accepts connections, greets at most, and does nothing more, as one under SIGSTOP."""
    transports: list[Any] = []

    class Frozen(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            transports.append(transport)
            transport.write(greeting)

    server = await asyncio.get_running_loop().create_server(Frozen, "127.0.0.1")
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for transport in transports:
            transport.abort()


async def test_frozen_instance_costs_only_the_time_to_connect(served: Any, listing: Any) -> None:
    """An instance that accepts and says nothing is left alone after half a second; the call is made elsewhere."""
    async with stopped_process() as port, connected(served.settings, listing, "web") as services:
        listing.put(ORDER, port)
        started = time.monotonic()
        call = asyncio.create_task(services.orders.place_order(v1.PlaceOrderRequest()))
        await asyncio.sleep(0)
        listing.put(ORDER, port, served.port)
        with pytest.raises(errors.Unauthenticated):
            await call

        assert 0.4 < time.monotonic() - started < 1


async def test_connection_to_a_frozen_instance_is_given_up(served: Any, listing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connected instance that stops answering pings loses its connection; calls there end before their deadline."""
    quick = {"_keepalive_time": 0.1, "_keepalive_timeout": 0.1, "_http2_min_sent_ping_interval_without_data": 0.05}
    monkeypatch.setattr(channels, "CONFIGURATION", channels.Configuration(**{**vars(channels.CONFIGURATION), **quick}))
    async with stopped_process(SETTINGS) as port, connected(served.settings, listing, "web") as services:
        listing.put(ORDER, port)
        with pytest.raises(errors.Unavailable):
            await services.orders.place_order(v1.PlaceOrderRequest())


async def test_streams_with_many_messages_are_balanced_too(served: Any, listing: Any) -> None:
    """A stub's method with several messages gets a plain stream to one instance, and the same exceptions."""
    async with serving(served.echo, served.settings) as server, connected(served.settings, listing, "web") as services:
        listing.put(ORDER, server.port)
        stub: Any = services.orders
        answers = [
            answer
            async for answer in stub._stream_stream("/soms.v1.OrderService/GetOrder", [REQUEST], v1.GetOrderRequest, v1.GetOrderResponse)
        ]
        with pytest.raises(errors.Unauthenticated):
            await stub._stream_unary(
                "/soms.v1.OrderService/PlaceOrder", [v1.PlaceOrderRequest()], v1.PlaceOrderRequest, v1.PlaceOrderResponse
            )

    assert [answer.order.id for answer in answers] == ["x"]
