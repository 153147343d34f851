"""Hostile and clumsy clients, by raw HTTP/2: each gets the right refusal, and nobody else notices."""

import asyncio
import contextlib
import random
import socket
import time
from typing import Any

import pytest
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from soms.rpc import connection
from soms.rpc.gen.soms import v1

EMPTY = b"\0\0\0\0\0"
LIMIT = 1024 * 1024


async def healthy(served: Any) -> float:
    """Seconds that an innocent client waits for its answer."""
    started = time.monotonic()
    async with served.wire() as wire:
        answer = await wire.answer(wire.request(EMPTY))
    assert answer.headers["grpc-status"] == "0"
    return time.monotonic() - started


async def nothing_left(served: Any) -> None:
    """No call and no connection stays behind."""
    await served.until(lambda: not served.server._calls and not served.server._probes and not served.server._protocols)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"\0\xff\xff\xff\xff" + b"x" * 100, "8"),
        (b"\0" + (512 * LIMIT).to_bytes(4) + b"x" * 16_000, "8"),
        (b"\0" + (LIMIT + 1).to_bytes(4) + b"x", "8"),
        (b"\x01\0\0\0\x02\x0a\x00", "12"),
        (b"\0\0\0\0\x10short", "3"),
        (b"\0\0\0\0\x10", "3"),
        (b"\0\0", "3"),
        (b"", "3"),
        (b"\0\0\0\0\x05\x0a\x20abc", "3"),
        (b"\0\0\0\0\x04\x0a\x02\xff\xfe", "3"),
        (b"\0\0\0\0\x02\x08\x07", "0"),
        (EMPTY + EMPTY, "0"),
    ],
    ids=[
        "4 GiB announced",
        "512 MiB announced",
        "a byte too many",
        "compressed",
        "cut short",
        "nothing behind the length",
        "half a prefix",
        "no message",
        "truncated field",
        "bad UTF-8",
        "wrong wire type",
        "two messages",
    ],
)
async def test_bodies(served: Any, body: bytes, status: str) -> None:
    """A body that is no good is refused for what it is, and the connection serves the next call."""
    async with served.wire() as wire:
        answer = await wire.answer(wire.request(body))
        after = await wire.answer(wire.request(EMPTY))

    assert (answer.headers["grpc-status"], after.headers["grpc-status"]) == (status, "0")


async def test_largest_message(served: Any) -> None:
    """A message of exactly 1 MiB is taken."""
    sizes = []

    async def measure(message: Any) -> Any:
        sizes.append(len(bytes(message)))
        return v1.GetOrderResponse()

    served.echo.do = measure
    async with served.stub() as stub:
        await stub.get_order(v1.GetOrderRequest(id="x" * (LIMIT - 4)))

    assert sizes == [LIMIT]


async def test_message_over_the_limit_takes_no_memory(served: Any) -> None:
    """Bytes that keep coming after the refusal are thrown away."""
    async with served.wire() as wire:
        number = wire.request(b"\0\xff\xff\xff\xff", end=False)
        assert (await wire.answer(number)).headers["grpc-status"] == "8"
        for _ in range(64):
            wire.raw(DataFrame(number, b"x" * 16_384).serialize())
        wire.raw(PingFrame(0, b"12345678").serialize())
        assert (await wire.answer(wire.request(EMPTY))).headers["grpc-status"] == "0"
        assert [protocol.processor.streams for protocol in served.server._protocols] == [{}]


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"path": "/soms.v1.OrderService/Nothing"}, (":status", "200")),
        ({"path": "/soms.v1.OrderService/Nothing"}, ("grpc-status", "12")),
        ({"path": "//"}, ("grpc-status", "12")),
        ({"path": ""}, ("grpc-status", "12")),
        ({"content_type": "application/json"}, (":status", "415")),
        ({"content_type": "application/grpc+json"}, (":status", "415")),
        ({"content_type": ""}, (":status", "415")),
    ],
)
async def test_requests_that_are_no_calls(served: Any, headers: dict[str, str], found: tuple[str, str]) -> None:
    """An unknown method is UNIMPLEMENTED in a proper gRPC answer; what is not gRPC gets an HTTP status."""
    async with served.wire() as wire:
        answer = await wire.answer(wire.request(EMPTY, **headers))

    assert answer.headers[found[0]] == found[1]
    assert answer.headers[":status"] == "415" or answer.headers["content-type"].startswith("application/grpc")


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
        waits = [await healthy(served) for _ in range(10)]
        code = await wire.closed()

    assert code in (11, None)  # None where the network drops the GOAWAY with what was still on its way
    assert max(waits) < 0.5  # 50 ms on a quiet machine; 4 s without the guard
    await nothing_left(served)


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
    await nothing_left(served)


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
    await nothing_left(served)


async def test_continuation_flood(served: Any) -> None:
    """Headers that never end, end the connection (CVE-2024-27316)."""
    async with served.wire() as wire:
        wire.raw(HeadersFrame(1, b"").serialize())
        for _ in range(1000):
            wire.raw(ContinuationFrame(1, b"\x00\x01a\x01b" * 10).serialize())
        assert await wire.closed() is not None
    await nothing_left(served)


async def test_streams_never_ended(served: Any) -> None:
    """More streams at once than announced end the connection; others are served meanwhile."""
    async with served.wire() as wire:
        wire.h2.remote_settings.max_concurrent_streams = 10_000
        for _ in range(1000):
            wire.request(None, end=False)
        assert await healthy(served) < 0.5
        await wire.closed()
    await nothing_left(served)


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
    await nothing_left(served)
    end.close()


async def test_unknown_frames_are_ignored(served: Any) -> None:
    """Frames from the future and settings nobody knows do no harm (RFC 9113 §5.5)."""
    async with served.wire() as wire:
        wire.raw(b"\0\0\x03\xbb\0\0\0\0\0abc")
        wire.raw(SettingsFrame(0, settings={0x0A0A: 7}).serialize())
        answer = await wire.answer(wire.request(EMPTY))

    assert answer.headers["grpc-status"] == "0"


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\0" * 1000,
        b"\xff" * 1000,
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
    ],
)
async def test_other_protocols(served: Any, noise: bytes) -> None:
    """What is not HTTP/2 is hung up on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(noise)
    async with asyncio.timeout(3):
        await reader.read(-1)
    writer.close()
    await nothing_left(served)


async def test_headers_that_are_no_text(served: Any) -> None:
    """Bytes beyond ASCII in a header end the connection, not the server."""
    async with served.wire() as wire:
        wire.h2.config.header_encoding = None
        wire.raw(HeadersFrame(1, wire.h2.encoder.encode([(b":path", b"/\xff\xfe")]), flags=["END_HEADERS", "END_STREAM"]).serialize())
        await wire.closed()
    assert await healthy(served) < 1


async def test_random_frames(served: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever frames come in whatever order, the server serves on, logs no fault and keeps nothing."""
    chance = random.Random(7)
    block = b"\x83\x86"
    for _ in range(60):
        async with served.wire() as wire:
            for _ in range(30):
                number = chance.choice([0, 1, 1, 3, 5, 7])
                body = chance.randbytes(chance.randrange(40))
                frames: list[Frame | bytes] = [
                    HeadersFrame(number or 1, chance.choice([block, body]), flags=chance.sample(["END_HEADERS", "END_STREAM"], 2)),
                    DataFrame(number or 1, chance.choice([EMPTY, body]), flags=chance.choice([[], ["END_STREAM"]])),
                    RstStreamFrame(number or 1, chance.randrange(14)),
                    WindowUpdateFrame(number, window_increment=chance.choice([1, 2**31 - 1])),
                    SettingsFrame(0, settings={chance.randrange(1, 9): chance.randrange(2**32)}),
                    len(body).to_bytes(3) + chance.randbytes(2) + number.to_bytes(4) + body,
                ]
                frame = chance.choice(frames)
                wire.raw(frame if isinstance(frame, bytes) else frame.serialize())
    assert await healthy(served) < 1
    await nothing_left(served)
    assert [record.message for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []
