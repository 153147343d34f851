"""The running services, for a command on the same machine. Knows no command."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from soms.config import Settings
from soms.discovery import discovering
from soms.rpc import client
from soms.rpc.client import Services

CALL_SECONDS = 10


@contextlib.asynccontextmanager
async def found(settings: Settings, *names: str, timeout_seconds: float) -> AsyncIterator[Services]:
    """Stubs, as soon as each of `names` (as `USER-SERVICE`) is up; raises Unavailable after `timeout_seconds`."""
    async with discovering(settings) as directory, client.connected(settings, directory, caller="cli") as services:
        await asyncio.gather(*(directory.wait_for(name, timeout_seconds) for name in names))
        yield services
