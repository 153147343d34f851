"""Floods and clients that stand still, by raw HTTP/2: they are cut off, leave nothing behind, and nobody else notices."""

import asyncio
import contextlib
import socket
from typing import Any

import grpclib.server
import pytest
from hyperframe.frame import ContinuationFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from soms.rpc import connection
from soms.rpc.codec import Codec
from soms.rpc.gen.soms import v1

EMPTY = b"\0\0\0\0\0"
LIMIT = 1024 * 1024


async def test_rapid_reset(served: Any) -> None:
    """20,000 streams opened and reset at once end that connection, and cost an innocent client nothing (CVE-2023-44487)."""
    async with served.wire() as wire:
        first = wire.request(EMPTY)
        await wire.answer(first)
        block = wire.h2.encoder.encode(
            [(":method", "POST"), (":path", "/soms.v1.OrderService/GetOrder"), ("content-type", "application/grpc")]
        )
        for number in range(first + 2, first + 40_002, 2):
            wire.raw(HeadersFrame(number, block, flags=["END_HEADERS"]).serialize() + RstStreamFrame(number, 8).serialize())
        waits = [await served.healthy() for _ in range(10)]
        code = await wire.closed()

    assert code in (11, None)  # None where the network drops the GOAWAY with what was still on its way
    assert max(waits) < 2  # 50 ms on a quiet machine; 4 s without the guard
    await served.nothing_left()


async def test_provoked_resets(served: Any) -> None:
    """Resets that the peer provokes from us count as its own (CVE-2025-8671)."""
    async with served.wire() as wire:
        first = wire.request(EMPTY)
        await wire.answer(first)
        block = wire.h2.encoder.encode(
            [(":method", "POST"), (":path", "/soms.v1.OrderService/GetOrder"), ("content-type", "application/grpc")]
        )
        for number in range(first + 2, first + 2_002, 2):
            wire.raw(HeadersFrame(number, block, flags=["END_HEADERS"]).serialize())
            wire.raw(WindowUpdateFrame(number, window_increment=2**31 - 1).serialize())
        code = await wire.closed()

    assert code == 11
    await served.nothing_left()


async def test_honest_cancellations_leave_nothing(served: Any) -> None:
    """Streams that a client resets before their task has begun are forgotten (3,000 of 3,000 stay with stock grpclib)."""
    async with served.wire() as wire:
        for _ in range(90):
            number = wire.request(EMPTY, end=False)
            wire.h2.reset_stream(number)
            wire.raw(wire.h2.data_to_send())
        assert (await wire.answer(wire.request(EMPTY))).headers["grpc-status"] == "0"
        await served.until(lambda: not served.server._calls)
        assert [protocol.processor.streams for protocol in served.server._protocols] == [{}]


async def test_header_list_over_the_limit(served: Any) -> None:
    """Headers of more than 16 KiB end the connection by GOAWAY, packed or not."""
    for headers in ({"x_large": "x" * 17_000}, {"x_many": ["y" * 100] * 200}):
        async with served.wire() as wire:
            wire.request(EMPTY, **headers)
            assert await wire.closed() == 11
    await served.nothing_left()


async def test_continuation_flood(served: Any) -> None:
    """Headers that never end, end the connection (CVE-2024-27316)."""
    async with served.wire() as wire:
        wire.raw(HeadersFrame(1, b"").serialize())
        for _ in range(1000):
            wire.raw(ContinuationFrame(1, b"\x00\x01a\x01b" * 10).serialize())
        assert await wire.closed() is not None
    await served.nothing_left()


async def test_streams_never_ended(served: Any) -> None:
    """More streams at once than announced end the connection; others are served meanwhile."""
    async with served.wire() as wire:
        wire.h2.remote_settings.max_concurrent_streams = 10_000
        for _ in range(1000):
            wire.request(None, end=False)
        assert await served.healthy() < 0.5
        await wire.closed()
    await served.nothing_left()


async def test_requests_that_stand_still(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that does not come to its end is closed after a while; one under way, whose client waits, is not."""
    release = asyncio.Event()

    async def wait(message: Any) -> Any:
        await release.wait()
        return v1.GetOrderResponse()

    served.echo.do = wait
    async with served.wire() as wire:
        waiting, still = wire.request(EMPTY, grpc_timeout="9S"), wire.request(b"\0\0", end=False, grpc_timeout="9S")
        await served.until(lambda: len(served.server._calls) == 2)
        await served.server.run_once()
        monkeypatch.setattr(connection, "IDLE_SECONDS", 0)
        await served.server.run_once()
        closed = await wire.answer(still)
        release.set()
        answered = await wire.answer(waiting)

    assert closed.reset == 8
    assert answered.headers["grpc-status"] == "0"


async def test_connections_that_say_nothing(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection on which nobody speaks HTTP/2 is closed after a while; an idle one that did stays."""
    async with served.wire() as polite:
        await polite.answer(polite.request(EMPTY))
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        await served.until(lambda: len(served.server._protocols) == 2)
        monkeypatch.setattr(connection, "IDLE_SECONDS", 0)
        await served.server.run_once()
        async with asyncio.timeout(2):
            with contextlib.suppress(ConnectionResetError):
                await reader.read(-1)
        writer.close()
        assert (await polite.answer(polite.request(EMPTY))).headers["grpc-status"] == "0"


async def test_client_that_does_not_read(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that asks for more than it reads loses its connection before it costs memory."""
    monkeypatch.setattr(connection, "UNREAD_LIMIT_BYTES", 16 * 1024)
    end = socket.socket()
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    end.connect(("127.0.0.1", served.port))
    await served.until(lambda: len(served.server._protocols) == 1)
    (protocol,) = served.server._protocols
    protocol.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    end.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize() + PingFrame(0, b"12345678").serialize() * 5000)
    await served.nothing_left()
    end.close()


@pytest.mark.parametrize("draining", [False, True])
@pytest.mark.parametrize("path", ["/nothing", "/soms.v1.OrderService/GetOrder"])
async def test_refusing_what_is_already_reset(served: Any, caplog: pytest.LogCaptureFixture, path: str, *, draining: bool) -> None:
    """A stream that is reset in the same breath is refused without harm to its connection."""
    served.server.draining = draining
    async with served.wire() as wire:
        for _ in range(3):
            number = wire.h2.get_next_available_stream_id()
            wire.h2.send_headers(number, [(":method", "POST"), (":path", path), ("content-type", "application/grpc")])
            wire.h2.reset_stream(number)
        after = await wire.answer(wire.request(EMPTY, path="/grpc.health.v1.Health/Check"))

    assert after.headers["grpc-status"] == "0"
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []


async def test_stock_server_fails_these_tests(served: Any) -> None:
    """The broken twin: grpclib's own server keeps what is reset at once, and hangs up on a frame that it does not know."""
    stock = grpclib.server.Server([served.echo], codec=Codec())
    protocols: list[Any] = []
    make: Any = stock._protocol_factory
    stock._protocol_factory = lambda: protocols.append(made := make()) or made  # type: ignore[method-assign, func-returns-value]
    await stock.start("127.0.0.1", 0)
    listener: Any = stock._server
    async with served.wire(listener.sockets[0].getsockname()[1]) as wire:
        for _ in range(90):
            wire.h2.reset_stream(wire.request(EMPTY, end=False))
        assert (await wire.answer(wire.request(EMPTY))).headers["grpc-status"] == "0"
        assert len(protocols[0].processor.streams) > 50
        wire.raw(b"\0\0\x03\xbb\0\0\0\0\0abc")
        await wire.closed()
    stock.close()
    await stock.wait_closed()
