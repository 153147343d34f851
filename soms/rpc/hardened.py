"""A grpclib server that stands up to hostile and clumsy clients, and that ends without losing a call.

Refuses at once what it will not do, bounds what it does at a time, gives every call a deadline, and drains in the end.
Knows gRPC, neither tokens nor the registry; `connection.py` keeps HTTP/2 in bounds.
"""

import asyncio
import contextlib
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import grpclib.server
from grpclib.exceptions import GRPCError
from grpclib.protocol import AbstractHandler
from grpclib.protocol import Stream as Frames
from h2.errors import ErrorCodes

from soms.errors import SomsError, Unavailable
from soms.pulse import Pulse
from soms.rpc.admission import Method, NotGrpc, called
from soms.rpc.codec import Codec
from soms.rpc.connection import CONFIGURATION, Protocol
from soms.rpc.errors import to_wire
from soms.rpc.stream import Stream
from soms.rpc.trailers import CONTENT, Headers, refuse, trailers

CALL_LIMIT: Final = 200
SWEEP_SECONDS: Final = 1.0
FAREWELL_SECONDS: Final = 1.0
logger = logging.getLogger(__name__)


class Server(grpclib.server.Server, ABC):
    """Listens, refuses or admits calls, and gives each to `answer` in a task of its own."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        """Serve `methods` by route."""
        super().__init__([], codec=Codec(), config=CONFIGURATION)
        self._methods = methods
        self._calls: dict[asyncio.Task[None], Stream] = {}
        self._probes: dict[asyncio.Task[None], Stream] = {}
        self._protocols: set[Protocol] = set()
        self._full = trailers(to_wire(Unavailable("too many calls at once", retry_after=1)))
        self._turned_away = 0
        self.draining = False
        self.port = 0

    @abstractmethod
    async def answer(self, stream: Stream, method: Method, headers: Headers) -> None:
        """Do what the call asks for, and end the stream; must not raise."""

    def admit(self, frames: Frames, headers: Headers, release: Callable[[], None]) -> bool:
        """Whether the call is under way now; if not, it has been refused."""
        try:
            method, deadline = called(self._methods, dict(headers))
        except NotGrpc as refusal:
            refuse(frames, [(":status", str(refusal))])
            return False
        except (GRPCError, SomsError) as refusal:
            refuse(frames, [*CONTENT, *trailers(to_wire(refusal))])
            return False
        if method.counts and self.draining:
            if frames.closable:
                frames.reset_nowait(ErrorCodes.REFUSED_STREAM)  # never begun: any client may safely try elsewhere
            return False
        if method.counts and len(self._calls) >= CALL_LIMIT:
            self._turned_away += 1
            refuse(frames, [*CONTENT, *self._full])
            return False
        calls = self._calls if method.counts else self._probes
        stream = Stream(frames, method.route, method.handler, deadline, self._codec)
        task = self._loop.create_task(self.answer(stream, method, headers))
        calls[task] = stream

        def ended(task: asyncio.Task[None]) -> None:
            del calls[task]
            release()

        task.add_done_callback(ended)
        return True

    def _protocol_factory(self) -> Protocol:
        return Protocol(Calls(self), self._config, self._h2_config, self._protocols)

    async def run_once(self) -> None:
        """Look after the connections: end what stands still; say once how many calls were too many."""
        if self._turned_away:
            logger.warning("%d calls turned away: %d are under way", self._turned_away, len(self._calls))
            self._turned_away = 0
        now = time.monotonic()
        for protocol in list(self._protocols):
            protocol.sweep(now)

    @contextlib.asynccontextmanager
    async def listening(self, host: str, port: int = 0) -> AsyncIterator[None]:
        """Listen on `host`, on a free port unless one is named; drained at the end, at the latest."""
        await self.start(host, port)
        listener: Any = self._server
        self.port = listener.sockets[0].getsockname()[1]
        async with Pulse("looking after connections", self.run_once, SWEEP_SECONDS).running():
            try:
                yield
            finally:
                await self.drain(0)

    async def abandoned(self, timeout_seconds: float) -> None:
        """Wait until every client that is connected has left, or the time is up."""
        if lost := [protocol.lost for protocol in self._protocols]:
            await asyncio.wait(lost, timeout=timeout_seconds)

    async def drain(self, grace_seconds: float) -> None:
        """Refuse new calls, let those under way end for `grace_seconds`, tell the others, say GOAWAY and close."""
        if self._server is None:
            return
        self.draining = True
        self._server.close()
        await _ended(self._calls, grace_seconds)
        for stream in [*self._calls.values(), *self._probes.values()]:
            stream.end(Unavailable("the service is stopping", retry_after=1))
        await _ended(self._calls | self._probes, FAREWELL_SECONDS)
        for protocol in list(self._protocols):
            protocol.processor.hang_up(ErrorCodes.NO_ERROR, "the service is stopping")
        await self.abandoned(FAREWELL_SECONDS)
        self._server = None


class Calls(AbstractHandler):
    """Hands the calls of one connection to the server.

    When a stream or the connection breaks, grpclib wakes the call with an error of its own; cancelling its task as well, as
    stock grpclib does, would hit the clean-up that this error starts.
    """

    def __init__(self, server: Server) -> None:
        """Hand over to `server`."""
        self._server = server

    def accept(self, stream: Frames, headers: Headers, release_stream: Callable[[], None]) -> None:
        """Begin a call, or forget it."""
        if not self._server.admit(stream, headers, release_stream):
            release_stream()

    def cancel(self, stream: Frames) -> None:
        """Nothing more to do."""

    def close(self) -> None:
        """Nothing more to do."""


async def _ended(tasks: Mapping[asyncio.Task[None], Stream], seconds: float) -> None:
    if tasks:
        await asyncio.wait(tasks.keys(), timeout=seconds)
