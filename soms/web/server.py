"""Listening for HTTP, and leaving without losing a request: no new connections, then the answers under way, then none."""

import contextlib
import errno
from collections.abc import AsyncIterator
from typing import Any, Final

from aiohttp import web

from soms.errors import FailedPrecondition

GRACE_SECONDS: Final = 10.0
BACKLOG: Final = 1024
# The parser's own bounds lie above those that the middleware explains in a problem document; beyond them it hangs up.
OPTIONS: Final[dict[str, Any]] = {
    "max_line_size": 32 * 1024,
    "max_field_size": 32 * 1024,
    "read_bufsize": 32 * 1024,
    "auto_decompress": False,
    "keepalive_timeout": 75.0,
    "lingering_time": 5.0,
    "access_log": None,
    "shutdown_timeout": GRACE_SECONDS,
}


@contextlib.asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve `app` and yield the port (a free one for 0); leaving waits up to 10 s for answers under way.

    Raises FailedPrecondition if somebody else has the port.
    """
    runner = web.AppRunner(app, **OPTIONS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        yield runner.addresses[0][1]
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise FailedPrecondition(f"port {port} of {host} is taken: choose another one with SOMS_WEB_PORT") from error
    finally:
        await runner.cleanup()
