"""Asking whether a service serves, the way calls would go."""

from typing import Any

import pytest

from soms.errors import Unavailable
from soms.rpc.client import connected


async def test_a_probe_asks_the_service_itself(served: Any, listing: Any) -> None:
    """What the service says of its health counts, not that its port is open."""
    async with connected(served.settings, listing, "web") as services:
        listing.put("ORDER-SERVICE", served.port)
        serving = await services.probes["order"]()
        served.server.health.set(False)
        leaving = await services.probes["order"]()

    assert (serving, leaving) == (True, False)


async def test_a_service_nobody_lists_is_away(served: Any, listing: Any) -> None:
    """Without an instance there is nobody to ask."""
    async with connected(served.settings, listing, "web") as services:
        with pytest.raises(Unavailable):
            await services.probes["product"]()
