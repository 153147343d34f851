"""Reading a JSON body within bounds of size and time, and parsing it without mercy. Knows no fields."""

import asyncio
import json
import math
import re
from typing import Any, Final, NoReturn

from aiohttp import web

from soms.errors import InvalidArgument, SomsError
from soms.web.limits import Gate

SIZE_LIMIT_BYTES: Final = 256 * 1024
ARRIVAL_SECONDS: Final = 10.0
JSON: Final = re.compile(r'application/json(\s*;\s*charset\s*=\s*("utf-8"|utf-8))?\s*', re.IGNORECASE)
NUL: Final = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


async def read(request: web.Request, arriving: Gate, *, optional: bool, limit_bytes: int = SIZE_LIMIT_BYTES) -> Any:
    """The JSON value that came with `request`; `{}` where there is none and none is needed.

    `arriving` bounds how many bodies may be on their way at once, `limit_bytes` their size. Raises InvalidArgument
    (`malformed_body`), SomsError (`too_large`, `unsupported_media_type`, `timeout`) or Unavailable.
    """
    if not request.body_exists:
        return _nothing(optional=optional)
    if not JSON.fullmatch(request.headers.get("Content-Type", "")) or request.headers.get("Content-Encoding", "identity") != "identity":
        raise SomsError("send application/json, UTF-8, without a content encoding", reason="unsupported_media_type")
    if (request.content_length or 0) > limit_bytes:
        raise _too_large(limit_bytes)
    if request.content.is_eof() and request.content.exception() is None:
        body = request.content.read_nowait(-1)
    else:
        with arriving:
            body = await _arrival(request, limit_bytes)
    if len(body) > limit_bytes:
        raise _too_large(limit_bytes)
    return parse(body) if body else _nothing(optional=optional)


async def invite(request: web.Request) -> None:
    """Tell a client that waits for it to send the body now."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # an interim answer is no output yet


async def _arrival(request: web.Request, limit_bytes: int) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(ARRIVAL_SECONDS):
            await invite(request)
            while len(body) <= limit_bytes and (chunk := await request.content.readany()):
                body += chunk
    except TimeoutError:
        raise SomsError(f"the body did not arrive within {ARRIVAL_SECONDS:g} s", reason="timeout") from None
    except web.RequestPayloadError:
        raise _malformed("the body is not framed as its headers say") from None
    return bytes(body)


def parse(body: bytes) -> Any:
    """The value of a JSON text (RFC 8259); refuses what readers understand differently or databases cannot keep.

    That is doubled keys, NaN and infinities, numbers beyond all bounds, NUL and lone surrogates. Raises InvalidArgument.
    """
    try:
        value = DECODER.decode(body.decode())
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg}: line {error.lineno} column {error.colno}") from None
    except UnicodeDecodeError:
        raise _malformed("the body is not UTF-8") from None
    except RecursionError:
        raise _malformed("the body is nested too deeply") from None
    except ValueError as error:
        raise _malformed(str(error)) from None
    if b"\\u" in body:
        _refuse_unstorable(value)
    return value


def _refuse_unstorable(value: Any) -> None:
    """Only escapes can smuggle NUL or half a character in: the raw bytes are UTF-8 and free of controls by now."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _malformed("text must not contain lone surrogates") from None
    if NUL.search(text):
        raise _malformed("text must not contain NUL")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError("a number is beyond all bounds")
    return number


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _malformed(message: str) -> InvalidArgument:
    return InvalidArgument(message, reason="malformed_body")


def _too_large(limit_bytes: int) -> SomsError:
    return SomsError(f"the body may have {limit_bytes} bytes", reason="too_large")


def _nothing(*, optional: bool) -> dict[str, Any]:
    if not optional:
        raise _malformed("a JSON body is required")
    return {}


DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refuse)
