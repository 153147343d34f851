"""Listening for HTTP, and leaving without losing a request: no new connections, then the answers under way, then none."""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import uuid4

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import _ErrInfo

from soms.errors import FailedPrecondition, InvalidArgument, SomsError
from soms.web import problems
from soms.web.middleware import complete

GRACE_SECONDS: Final = 10.0
BACKLOG: Final = 1024
# The parser's own bounds lie above those that the middleware tells in detail; as they differ, its error says what was too long.
LINE_LIMIT_BYTES: Final = 64 * 1024
FIELD_LIMIT_BYTES: Final = 32 * 1024
OPTIONS: Final[dict[str, Any]] = {
    "max_line_size": LINE_LIMIT_BYTES,
    "max_field_size": FIELD_LIMIT_BYTES,
    "read_bufsize": 32 * 1024,
    "auto_decompress": False,
    "keepalive_timeout": 75.0,
    "lingering_time": 2.0,
    "access_log": None,
}


class Connection(web.RequestHandler):
    """aiohttp's side of a connection, which tells in our words what its parser refused, and logs none of it."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Take in what came; whoever waits for a body that is broken from here on is told at once, not when its time is over."""
        super().data_received(data)
        if self._messages and isinstance(self._messages[-1][0], _ErrInfo) and self._current_request is not None:
            body = self._current_request.content
            if not body.is_eof():
                self._messages.pop()
                body.set_exception(web.RequestPayloadError())
                body.feed_eof()
                self.close()  # after the answer

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The last answer on a connection that did not speak HTTP, or too much of it."""
        if not isinstance(exc, HttpProcessingError) or request.writer.output_size > 0:
            return super().handle_error(request, status, exc, message)
        request_id = uuid4().hex
        response = problems.respond(_told(exc), request_id)
        complete(response, request_id)
        response.force_close()
        return response


def _told(error: HttpProcessingError) -> SomsError:
    if not isinstance(error, LineTooLong):
        return InvalidArgument("this is not HTTP/1.1 as it should be", reason="invalid_parameter")
    of_target = str(LINE_LIMIT_BYTES) in map(str, error.args[1:])
    return SomsError("a line of the head is too long", reason="uri_too_long" if of_target else "headers_too_large")


@contextlib.asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve `app` and yield the port (a free one for 0); leaving waits up to 10 s for answers under way.

    Raises FailedPrecondition if somebody else has the port.
    """
    runner = web.AppRunner(app, shutdown_timeout=GRACE_SECONDS)
    await runner.setup()
    try:
        server = await _bound(runner, host, port)
        yield server.sockets[0].getsockname()[1]
        server.close()
    finally:
        await runner.cleanup()


async def _bound(runner: web.AppRunner, host: str, port: int) -> asyncio.Server:
    loop, manager = asyncio.get_running_loop(), runner.server
    assert manager is not None  # noqa: S101 - the runner is set up
    try:
        return await loop.create_server(lambda: Connection(manager, loop=loop, **OPTIONS), host, port, backlog=BACKLOG)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise FailedPrecondition(f"port {port} of {host} is taken: choose another one with SOMS_WEB_PORT") from error
