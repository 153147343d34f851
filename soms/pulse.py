"""Background work: one thing done again and again, in intervals, with a pause that grows while it fails. Knows not what."""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

FIRST_RETRY_SECONDS: Final = 0.25

log = logging.getLogger(__name__)


async def _nothing() -> None:
    pass


class Pulse:
    """Repeats `run_once` every `interval_seconds`, sooner when asked; a failure is logged once and never ends it."""

    def __init__(
        self,
        purpose: str,
        run_once: Callable[[], Awaitable[None]],
        interval_seconds: float,
        *,
        gap_seconds: float = 0,
        finish: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        """Leave `gap_seconds` between two runs however often one is asked for; call `finish` after the last of them."""
        self._purpose, self._run_once, self._finish = purpose, run_once, finish
        self._interval, self._gap = interval_seconds, gap_seconds
        self._soon, self._stopping = asyncio.Event(), False
        self.failures = 0

    def soon(self) -> None:
        """Ask for a run now instead of at the end of the interval."""
        self._soon.set()

    @contextlib.asynccontextmanager
    async def running(self, leave_seconds: float = 0) -> AsyncIterator[None]:
        """Beat beside the block; at its end wait up to `leave_seconds` for the run under way and `finish`, then cancel them."""
        task = asyncio.create_task(self._run(), name=self._purpose)
        try:
            yield
        finally:
            self._stopping = True
            self.soon()
            try:
                await asyncio.wait([task], timeout=leave_seconds)
            finally:
                task.cancel()
                await asyncio.wait([task])

    async def beat(self) -> None:
        """Run once, whatever comes of it."""
        await self._attempt(self._run_once)

    async def _run(self) -> None:
        while not self._stopping:
            self._soon.clear()
            await self.beat()
            await asyncio.sleep(self._gap)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause()):
                    await self._soon.wait()
        await self._attempt(self._finish)

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the next run may go right
            if not self.failures:
                log.warning("%s fails: %s: %s", self._purpose, type(error).__name__, error)
            self.failures += 1
        else:
            if self.failures:
                log.info("%s works again", self._purpose)
            self.failures = 0

    def _pause(self) -> float:
        retry = FIRST_RETRY_SECONDS * 2 ** min(self.failures - 1, 20) if self.failures else self._interval
        return min(retry, self._interval) * random.uniform(0.9, 1.1)  # noqa: S311 - spreads load, hides nothing
