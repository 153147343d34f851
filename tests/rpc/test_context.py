"""What a method knows of its call, and how long it has."""

import asyncio
import time
from typing import Any

import pytest

from soms import logging as soms_logging
from soms.rpc import context
from soms.rpc.gen.soms import v1


async def test_context_of_a_call(served: Any) -> None:
    """A method knows who calls, for whom, with which token and until when."""
    seen: list[Any] = []

    async def look(message: Any) -> Any:
        seen.append((context.caller(), context.current(), soms_logging.get_request_id()))

    served.echo.do = look
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    metadata = served.bearer("customer") | {"x-request-id": "abc-1", "traceparent": trace}
    async with served.stub() as stub:
        await stub.place_order(v1.PlaceOrderRequest(), metadata=metadata, timeout=3)

    (identity, call, request_id), *_ = seen
    assert (identity.email, identity.roles) == ("ann@example.com", {"customer"})
    assert call.token == metadata["authorization"].removeprefix("Bearer ")
    assert (call.request_id, request_id, call.traceparent, call.client_address) == ("abc-1", "abc-1", trace, "127.0.0.1")
    assert 2 < call.deadline - time.monotonic() <= 3


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a\tb", "<script>"])
async def test_unsafe_request_ids_are_replaced(served: Any, sent: str) -> None:
    """A request id that is missing or unfit for logs is replaced by a fresh one; a traceparent is left out."""
    seen = []

    async def look(message: Any) -> Any:
        seen.append(context.current())
        return v1.GetOrderResponse()

    served.echo.do = look
    async with served.wire() as wire:
        await wire.answer(wire.request(b"\0\0\0\0\0", x_request_id=sent, traceparent=sent))

    assert seen[0]
    assert seen[0].request_id
    assert seen[0].request_id != sent
    assert seen[0].traceparent is None


@pytest.mark.parametrize(("sent", "least", "most"), [("", 1.5, 2), ("500m", 0.2, 0.5), ("99999999H", 9, 10), ("11S", 9, 10)])
async def test_every_call_has_a_deadline(served: Any, sent: str, least: float, most: float) -> None:
    """Two seconds where the caller names none, ten at most."""
    left = []

    async def look(message: Any) -> Any:
        left.append(context.deadline() - time.monotonic())
        return v1.GetOrderResponse()

    served.echo.do = look
    async with served.wire() as wire:
        await wire.answer(wire.request(b"\0\0\0\0\0", grpc_timeout=sent))

    assert least < left[0] <= most


@pytest.mark.parametrize("sent", ["garbage", "1", "S", "-1S", "1.5S", "1s", "123456789S", "1S1S", " 1S"])
async def test_unreadable_timeouts_are_refused(served: Any, sent: str) -> None:
    """A grpc-timeout that cannot be read is the caller's fault, and said to be."""
    async with served.wire() as wire:
        answer = await wire.answer(wire.request(b"\0\0\0\0\0", grpc_timeout=sent))

    assert answer.headers["grpc-status"] == "3"


async def test_deadline_ends_the_method(served: Any) -> None:
    """At the deadline the method is cancelled, can clean up undisturbed, and the caller is told."""
    cleaned = asyncio.Event()

    async def hang(message: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)  # a second cancellation would hit here
            cleaned.set()

    served.echo.do = hang
    async with served.wire() as wire:
        started = time.monotonic()
        answer = await wire.answer(wire.request(b"\0\0\0\0\0", grpc_timeout="100m"))

    assert answer.headers["grpc-status"] == "4"
    assert time.monotonic() - started < 1
    assert cleaned.is_set()


async def test_deadline_that_has_passed(served: Any) -> None:
    """A call whose time is up on arrival does nothing."""
    called = []

    async def note(message: Any) -> Any:
        called.append(message)

    served.echo.do = note
    async with served.wire() as wire:
        answer = await wire.answer(wire.request(b"\0\0\0\0\0", grpc_timeout="0n"))

    assert answer.headers["grpc-status"] == "4"
    assert called == []


async def test_client_that_goes_away_ends_the_method(served: Any) -> None:
    """When the client resets its stream or hangs up, the method is cancelled once and nothing is left behind."""
    gone = []

    async def hang(message: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.01)
            gone.append(message.id)

    served.echo.do = hang
    async with served.wire() as wire:
        number = wire.request(b"\0\0\0\0\0")
        await served.until(lambda: len(served.server._calls) == 1)
        wire.h2.reset_stream(number)
        wire.raw(wire.h2.data_to_send())
        await served.until(lambda: len(gone) == 1)
        wire.request(b"\0\0\0\0\0")
        await served.until(lambda: len(served.server._calls) == 1)
    await served.until(lambda: len(gone) == 2 and not served.server._calls and not served.server._protocols)
