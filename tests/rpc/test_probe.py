"""The health check of a gRPC server, as containers run it."""

import asyncio
from typing import Any

import pytest

from soms.local import ports
from soms.rpc import probe
from soms.rpc.server import serving


async def test_a_server_says_whether_it_serves(served: Any) -> None:
    """Yes while it serves, no while it is leaving; whoever is not there cannot be asked."""
    async with serving(served.echo, served.settings) as server:
        where: tuple[Any, ...] = ("127.0.0.1", server.port)
        assert await asyncio.to_thread(probe.serving, *where)
        server.health.set(False)
        assert not await asyncio.to_thread(probe.serving, *where)
    with pytest.raises(OSError, match="refused"):
        probe.serving("127.0.0.1", *ports.choose(1))
