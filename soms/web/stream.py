"""Server-sent events on their way through: passed on as they come, to as many readers as there are places, none waited for."""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from soms.errors import Unauthenticated
from soms.web.agents import Following
from soms.web.limits import Gate

# Streams stand open for minutes; they have places of their own, so that they take none from requests that are over at once.
PLACES: Final = 1024
WRITE_SECONDS: Final = 5.0
SEND_BUFFER_BYTES: Final = 128 * 1024
HEADERS: Final = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}
# a browser that was cut off comes back after a second
BEGINNING: Final = b"retry: 1000\n\n"


class Streams:
    """All streams of one process."""

    def __init__(self, places: int = PLACES) -> None:
        """Have so many places."""
        self._gate = Gate(places)
        self._open: set[Following] = set()

    def count(self) -> int:
        """How many are open."""
        return len(self._open)

    async def response(self, begin: Callable[[], Awaitable[Following]], check: Callable[[], Any]) -> "EventStream":
        """A response that will pass on what `begin` opens, as long as `check` does not raise Unauthenticated.

        Raises Unavailable if all places are taken, and whatever `begin` raises.
        """
        with contextlib.ExitStack() as held:
            held.enter_context(self._gate)
            source = await begin()
            held.callback(source.close)
            self._open.add(source)
            held.callback(self._open.discard, source)
            return EventStream(source, held.pop_all(), check)

    async def end(self, _: web.Application) -> None:
        """End them all: their readers come back, to another gateway if there is one."""
        for source in tuple(self._open):
            source.close()


class EventStream(web.StreamResponse):
    """A response whose body is another's stream; it is sent, as files are, once the middleware has seen to the headers."""

    def __init__(self, source: Following, held: contextlib.ExitStack, check: Callable[[], Any]) -> None:
        super().__init__(headers=HEADERS)
        self._source, self._held, self._check = source, held, check

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the head and all the rest."""
        with self._held:
            writer = await super().prepare(request)
            if request.transport is not None:
                _narrow(request.transport)
            with contextlib.suppress(Unauthenticated):
                await self._pass_on(request)
        return writer

    async def _pass_on(self, request: web.BaseRequest) -> None:
        piece = BEGINNING
        while piece:
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await self.write(piece)
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()  # a reader who is too slow would only be told old news
                return
            piece = await self._source.piece()
            self._check()


def _narrow(transport: asyncio.Transport) -> None:
    """Bound what the system keeps for a slow reader; it would take megabytes."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
