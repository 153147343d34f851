"""Whether the gateway can do its work: each service it needs, asked at most once a second however often we are asked."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from soms.errors import SomsError

KEPT_SECONDS: Final = 1.0
PROBE_SECONDS: Final = 1.0
Probe = Callable[[], Awaitable[bool]]


class Readiness:
    """The state of each dependency; a probe that is not answered within a second says no."""

    def __init__(self, found: Mapping[str, Probe]) -> None:
        """Keep the probes, by the name of what they ask after."""
        self._probes = found
        self._asking = asyncio.Lock()
        self._known: dict[str, bool] = {}
        self._since = float("-inf")

    async def states(self) -> dict[str, bool]:
        """By name, whether a dependency is there."""
        async with self._asking:
            if time.monotonic() - self._since > KEPT_SECONDS:
                answers = await asyncio.gather(*map(_asked, self._probes.values()))
                self._known, self._since = dict(zip(self._probes, answers, strict=True)), time.monotonic()
        return self._known


async def _asked(probe: Probe) -> bool:
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            return await probe()
    except (TimeoutError, SomsError):
        return False
