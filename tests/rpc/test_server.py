"""What a service promises to whoever calls it: answers, errors, log lines, and an orderly leave."""

import asyncio
import logging
import time
from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from soms import errors
from soms.config import Settings
from soms.rpc.errors import from_wire
from soms.rpc.gen.soms import v1
from soms.rpc.server import serving


@pytest.mark.parametrize(
    "raised",
    [
        errors.FailedPrecondition(reason="insufficient_stock", short=[{"sku": "a", "requested": 2, "available": 1}]),
        errors.InvalidArgument.field("id", "uuid_parsing", "must be a UUID"),
        errors.Unavailable("the database is away", retry_after=1),
        errors.NotFound(),
    ],
)
async def test_errors_reach_the_caller(served: Any, raised: errors.SomsError) -> None:
    """What a method raises is what the caller gets, with reason and details."""

    async def fail(message: Any) -> Any:
        raise raised

    served.echo.do = fail
    async with served.stub() as stub:
        with pytest.raises(GRPCError) as caught:
            await stub.get_order(v1.GetOrderRequest())

    arrived = from_wire(caught.value)
    assert type(arrived) is type(raised)
    assert (arrived.reason, arrived.details, arrived.retry_after) == (raised.reason, raised.details, raised.retry_after)


@pytest.mark.parametrize("fault", [RuntimeError("secret"), KeyError("secret"), TimeoutError("secret"), RecursionError("secret")])
async def test_faults_are_internal_and_silent(served: Any, fault: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """A fault is logged with its traceback and tells the caller nothing."""

    async def fail(message: Any) -> Any:
        raise fault

    served.echo.do = fail
    async with served.stub() as stub:
        with pytest.raises(GRPCError) as caught:
            await stub.get_order(v1.GetOrderRequest())

    assert (caught.value.status, caught.value.message) == (Status.INTERNAL, "Internal Server Error")
    assert [record.levelname for record in caplog.records if record.exc_info] == ["ERROR"]


@pytest.mark.parametrize("answer", [None, v1.GetOrderRequest(), v1.GetOrderResponse(order=v1.Order(total=2**70))])
async def test_wrong_answers_are_internal(served: Any, answer: Any) -> None:
    """A method that gives nothing, the wrong message or an impossible value is at fault, not its caller."""

    async def give(message: Any) -> Any:
        return answer

    served.echo.do = give
    async with served.stub() as stub:
        with pytest.raises(GRPCError) as caught:
            await stub.get_order(v1.GetOrderRequest())

    assert caught.value.status is Status.INTERNAL


async def test_large_answers(served: Any) -> None:
    """An answer larger than a frame, and than the client's window at first, arrives whole."""
    note = "x" * 700_000

    async def give(message: Any) -> Any:
        return v1.GetOrderResponse(order=v1.Order(note=note))

    served.echo.do = give
    async with served.wire() as wire:
        answer = await wire.answer(wire.request(b"\0\0\0\0\0"))

    assert answer.headers["grpc-status"] == "0"
    assert v1.GetOrderResponse.parse(answer.data[5:]).order.note == note  # type: ignore[union-attr]


async def test_log_line_of_a_call(served: Any, caplog: pytest.LogCaptureFixture) -> None:
    """One line a call: quiet when all is well, with reason and caller when not."""

    async def fail(message: Any) -> Any:
        raise errors.FailedPrecondition(reason="insufficient_stock")

    with caplog.at_level(logging.DEBUG, "soms.rpc"):
        async with served.stub() as stub:
            await stub.get_order(v1.GetOrderRequest())
            served.echo.do = fail
            with pytest.raises(GRPCError):
                await stub.place_order(v1.PlaceOrderRequest(), metadata=served.bearer("customer"))

    lines: list[Any] = [record for record in caplog.records if record.message == "call"]
    assert [(line.levelname, line.method, line.status, line.reason) for line in lines] == [
        ("DEBUG", "/soms.v1.OrderService/GetOrder", "OK", None),
        ("INFO", "/soms.v1.OrderService/PlaceOrder", "FAILED_PRECONDITION", "insufficient_stock"),
    ]
    assert lines[1].caller == "018f0000-0000-7000-8000-000000000001"


async def test_draining_finishes_calls_and_refuses_new_ones(served: Any) -> None:
    """A drain answers what is under way, refuses what comes by REFUSED_STREAM, and does not wait for idle clients."""
    release = asyncio.Event()

    async def wait(message: Any) -> Any:
        await release.wait()
        return v1.GetOrderResponse()

    served.echo.do = wait
    async with served.wire() as wire, served.wire() as idle:
        under_way = wire.request(b"\0\0\0\0\0")
        await idle.answer(idle.request(path="/nothing"))
        await served.until(lambda: len(served.server._calls) == 1)
        draining = asyncio.create_task(served.server.drain(5))
        await served.until(lambda: served.server.draining)
        refused = await wire.answer(wire.request(b"\0\0\0\0\0"))
        release.set()
        answered = await wire.answer(under_way)
        started = time.monotonic()
        await draining

        assert refused.reset == 7
        assert answered.headers["grpc-status"] == "0"
        assert (await wire.closed(), await idle.closed()) == (0, 0)
    assert time.monotonic() - started < 0.5
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", served.port)


async def test_draining_ends_what_does_not_end(served: Any) -> None:
    """After the grace period, calls still under way are told to try elsewhere."""

    async def hang(message: Any) -> Any:
        await asyncio.Event().wait()

    served.echo.do = hang
    async with served.wire() as wire:
        number = wire.request(b"\0\0\0\0\0")
        await served.until(lambda: len(served.server._calls) == 1)
        await served.server.drain(0.05)
        answer = await wire.answer(number)

    assert answer.headers["grpc-status"] == "14"


async def test_too_many_calls_are_refused_at_once(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full process says so without delay, and still answers health checks."""
    monkeypatch.setattr("soms.rpc.hardened.CALL_LIMIT", 3)
    release = asyncio.Event()

    async def wait(message: Any) -> Any:
        await release.wait()
        return v1.GetOrderResponse()

    served.echo.do = wait
    async with served.wire() as wire:
        accepted = [wire.request(b"\0\0\0\0\0") for _ in range(3)]
        started = time.monotonic()
        refused = await wire.answer(wire.request(b"\0\0\0\0\0"))
        healthy = await wire.answer(wire.request(b"\0\0\0\0\0", path="/grpc.health.v1.Health/Check"))
        elapsed = time.monotonic() - started
        release.set()
        answers = [await wire.answer(number) for number in accepted]

    assert refused.headers["grpc-status"] == "14"
    assert "grpc-status-details-bin" in refused.headers
    assert healthy.data.endswith(b"\x08\x01")
    assert elapsed < 0.2
    assert [answer.headers["grpc-status"] for answer in answers] == ["0", "0", "0"]


async def test_listens_where_told(served: Any, plain_settings: Settings) -> None:
    """A service binds the address of the settings and no other."""
    assert served.server._server.sockets[0].getsockname()[0] == "127.0.0.1"
    async with serving(served.echo, plain_settings) as second:
        assert second.port != served.port
