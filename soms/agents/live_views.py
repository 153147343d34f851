"""The live figures over HTTP, for the gateway: as a document, and as a stream of documents. Knows no Kafka."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

from soms.agents.broadcast import Broadcast
from soms.agents.views import STAFF, Question, caller, refusal, view
from soms.errors import ResourceExhausted, SomsError, Unauthenticated
from soms.tokens import Verifier

READERS: Final = 1024
SILENCE_SECONDS: Final = 15.0
WRITE_SECONDS: Final = 5.0
# of a slow reader the system would keep megabytes
SEND_BUFFER_BYTES: Final = 64 * 1024
COMMENT: Final = b": here\n\n"
Piece = Callable[[], Awaitable[bytes]]


def routes(verifier: Verifier, document: Callable[[], dict[str, Any]], broadcast: Broadcast) -> list[web.RouteDef]:
    """The routes; `document` gives the figures as they are, or raises Unavailable."""
    readers = asyncio.Semaphore(READERS)

    async def live(_: Question) -> Any:
        return document()

    async def stream(request: web.Request) -> web.StreamResponse:
        try:
            caller(request, verifier, STAFF)
            document()
            if readers.locked():
                raise ResourceExhausted("too many streams are open", retry_after=5)
        except SomsError as error:
            return refusal(error)
        async with readers:
            return await _stream(request, verifier, broadcast)

    return [view("GET", "/live", verifier, STAFF, live), web.get("/stream", stream)]


async def _stream(request: web.Request, verifier: Verifier, broadcast: Broadcast) -> web.StreamResponse:
    """Tell all there is until the token ends, the reader leaves or cannot follow."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    transport = request.transport
    if transport is None:
        return response
    if connection := transport.get_extra_info("socket"):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    known, piece = request.headers.get("Last-Event-ID", ""), COMMENT
    with contextlib.suppress(Unauthenticated, ConnectionError):
        while not transport.is_closing():
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await response.write(piece)
            except TimeoutError:
                transport.abort()
                break
            try:
                known, piece = await broadcast.next(known, SILENCE_SECONDS)
            except TimeoutError:
                piece = COMMENT
            caller(request, verifier, STAFF)
    return response
