"""Malformed and foreign requests, by raw HTTP/2: each gets the right refusal, and the server serves on."""

import asyncio
import random
from typing import Any

import pytest
from hyperframe.frame import DataFrame, Frame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from soms.rpc.gen.soms import v1

EMPTY = b"\0\0\0\0\0"
LIMIT = 1024 * 1024


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
    await served.nothing_left()


async def test_headers_that_are_no_text(served: Any) -> None:
    """Bytes beyond ASCII in a header end the connection, not the server."""
    async with served.wire() as wire:
        wire.h2.config.header_encoding = None
        wire.raw(HeadersFrame(1, wire.h2.encoder.encode([(b":path", b"/\xff\xfe")]), flags=["END_HEADERS", "END_STREAM"]).serialize())
        await wire.closed()
    assert await served.healthy() < 1


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
    assert await served.healthy() < 1
    await served.nothing_left()
    assert [record.message for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []
