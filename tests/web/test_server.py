"""Listening and leaving."""

import asyncio
from typing import Any

import aiohttp
import pytest
from yarl import URL

from soms.errors import FailedPrecondition
from soms.web.app import create_app
from soms.web.gateway import Gateway
from soms.web.readiness import Readiness
from soms.web.server import listening


async def test_a_taken_port_is_told_with_its_setting(gateway: Gateway) -> None:
    """Whoever starts a second one learns what to change."""
    async with listening(create_app(gateway, Readiness({})), "127.0.0.1", 0) as port:
        with pytest.raises(FailedPrecondition, match=f"port {port} of 127.0.0.1 is taken.*SOMS_WEB_PORT"):
            async with listening(create_app(gateway, Readiness({})), "127.0.0.1", port):
                pass


async def test_leaving_finishes_what_is_under_way(gateway: Gateway, services: Any, eventually: Any) -> None:
    """A request that is being answered gets its answer; a new connection is refused."""
    arrived, release = asyncio.Event(), asyncio.Event()

    async def wait(_: Any) -> Any:
        arrived.set()
        await release.wait()
        return answer

    answer, services.products.answers["list_products"] = services.products.answers["list_products"], wait
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        serving = listening(create_app(gateway, Readiness({})), "127.0.0.1", 0)
        url = f"http://127.0.0.1:{await serving.__aenter__()}/api/v1/products"
        under_way = asyncio.create_task(session.get(url))
        await arrived.wait()
        leaving = asyncio.create_task(serving.__aexit__(None, None, None))
        await eventually(lambda: _refused(url))
        still_leaving = not leaving.done()
        release.set()
        async with await under_way as reply:
            assert reply.status == 200
        await leaving

    assert still_leaving


async def _refused(url: str) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
    except OSError:
        return True
    writer.close()
    return False


async def test_a_client_that_hangs_up_disturbs_nobody(raw: Any, client: Any) -> None:
    """Half a request is forgotten with its connection."""
    with pytest.raises((asyncio.IncompleteReadError, TimeoutError)):
        async with asyncio.timeout(0.2):
            await raw("POST /api/v1/auth/login", "Content-Type: application/json", "Content-Length: 100", then=b"{")

    assert (await client("GET", "//healthz")).status == 200
