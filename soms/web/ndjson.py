"""JSON texts, one a line (application/x-ndjson), in both directions at once: neither body is ever whole in memory. Knows no noun.

async for line in request.input: ...                             # Lines[Shape]: checked values, or what is wrong with them
return Answer(LineStream(first, rest))                           # pieces of the answer, as they become known
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import orjson
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from pydantic import TypeAdapter

from soms.errors import InvalidArgument, SomsError
from soms.web import body
from soms.web.limits import Gate
from soms.web.validation import checked

MEDIA_TYPE: Final = "application/x-ndjson"
SAID: Final = re.compile(r'application/(x-)?ndjson(\s*;\s*charset\s*=\s*("utf-8"|utf-8))?\s*', re.IGNORECASE)
LINE_LIMIT_BYTES: Final = 4 * 1024 * 1024
# without a word from the client
IDLE_SECONDS: Final = 30.0
WRITE_SECONDS: Final = 60.0
# Many clients read nothing before they have sent all: so much of the answer waits for them.
ANSWER_BUFFER_BYTES: Final = 16 * 1024 * 1024
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Line(Generic[Item]):
    """One line: its number from 1, the JSON value that was sent if it was one, and what that means, or else what is wrong with it."""

    number: int
    sent: Any
    item: Item | None = None
    refusal: SomsError | None = None


class Lines(Generic[Item]):
    """The lines of a body as they come, each held against the type of its items; empty ones are passed over."""

    def __init__(self, request: web.Request, adapter: TypeAdapter[Item], arriving: Gate) -> None:
        """`arriving` bounds how many bodies may be on their way at once. Raises SomsError (`unsupported_media_type`) for anything else."""
        headers = request.headers
        if not SAID.fullmatch(headers.get("Content-Type", "")) or headers.get("Content-Encoding", "identity") != "identity":
            raise SomsError(f"send {MEDIA_TYPE}, UTF-8, without a content encoding", reason="unsupported_media_type")
        self._request, self._adapter, self._arriving = request, adapter, arriving

    async def __aiter__(self) -> AsyncIterator[Line[Item]]:
        """Raises SomsError (`timeout`) where nothing comes any more, InvalidArgument (`malformed_body`) where the framing breaks."""
        async with aclosing(self._texts()) as texts:
            number = 0
            with self._arriving:
                async for text in texts:
                    number += 1
                    if text is None or text.strip():
                        yield self._line(number, text)

    def _line(self, number: int, text: bytes | None) -> Line[Item]:
        if text is None:
            return Line(number, None, refusal=SomsError(f"a line may have {LINE_LIMIT_BYTES} bytes", reason="too_large"))
        sent = None
        try:
            sent = body.parse(text.removeprefix(BYTE_ORDER_MARK) if number == 1 else text)
            return Line(number, sent, checked(self._adapter, sent))
        except SomsError as refusal:
            return Line(number, sent, refusal=refusal)

    async def _texts(self) -> AsyncGenerator[bytes | None, None]:
        """Each line, or None for one that is too long, of which the rest is passed over."""
        kept, too_long = bytearray(), False
        await body.invite(self._request)
        while chunk := await self._chunk():
            *ended, rest = chunk.split(b"\n")
            for piece in ended:
                kept += piece
                yield None if too_long or len(kept) > LINE_LIMIT_BYTES else bytes(kept)
                kept, too_long = bytearray(), False
            kept += rest
            if len(kept) > LINE_LIMIT_BYTES:
                kept, too_long = bytearray(), True
        yield None if too_long else bytes(kept)

    async def _chunk(self) -> bytes:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                return await self._request.content.readany()
        except TimeoutError:
            raise SomsError(f"nothing came for {IDLE_SECONDS:g} s", reason="timeout") from None
        except web.RequestPayloadError:
            raise InvalidArgument("the body is not framed as its headers say", reason="malformed_body") from None


class LineStream(web.StreamResponse):
    """A response of pieces, each of so many JSON values; sent once the middleware has seen to the headers.

    Where it breaks it has no end, so that nobody takes a part for the whole.
    """

    def __init__(self, first: Iterable[Any], rest: AsyncGenerator[Iterable[Any], None]) -> None:
        super().__init__(headers={"Content-Type": MEDIA_TYPE, "X-Accel-Buffering": "no"})
        self._first, self._rest = first, rest

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the head and all the rest."""
        writer = await super().prepare(request)
        if request.transport is not None:
            request.transport.set_write_buffer_limits(high=ANSWER_BUFFER_BYTES)
        try:
            async with aclosing(self._rest) as rest:
                await self._tell(self._first)
                async for piece in rest:
                    await self._tell(piece)
        except (SomsError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        return writer

    async def _tell(self, values: Iterable[Any]) -> None:
        async with asyncio.timeout(WRITE_SECONDS):
            await self.write(b"".join(orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE) for value in values))


async def batches(
    lines: Lines[Item], most: int, weight: Callable[[Line[Item]], int], patience_seconds: float
) -> AsyncGenerator[list[Line[Item]], None]:
    """Lines together, until their `weight` comes to `most` or no more come for a while: whoever waits for an answer gets it then."""
    coming = aiter(lines)
    next_ = asyncio.ensure_future(anext(coming, None))
    batch: list[Line[Item]] = []
    try:
        while True:
            done, _ = await asyncio.wait({next_}, timeout=patience_seconds if batch else None)
            line = next_.result() if done else None
            if line is not None:
                batch.append(line)
                next_ = asyncio.ensure_future(anext(coming, None))
            if batch and (line is None or sum(map(weight, batch)) >= most):
                yield batch
                batch = []
            if done and line is None:
                return
    finally:
        next_.cancel()
