"""Keeps one thing running: started again whenever it ends, after pauses that grow. Knows neither engines nor processes."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from soms.errors import SomsError, Unavailable
from soms.local.child import Child

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 15.0
HEALTHY_SECONDS = 30.0


class Keeper:
    """Runs `start` at once and again after each end, until `stop`."""

    def __init__(self, start: Callable[[], Awaitable[Child]], say: Callable[[str], None], grace_seconds: float) -> None:
        """`say` tells people of ends and restarts; a clean stop may take `grace_seconds`."""
        self._start = start
        self._say = say
        self._grace_seconds = grace_seconds
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._first.add_done_callback(lambda first: first.cancelled() or first.exception())  # nobody need ask
        self._task = asyncio.create_task(self._run())

    async def started(self) -> None:
        """Wait for the first start; raises SomsError where it failed."""
        await asyncio.shield(self._first)

    async def stop(self) -> None:
        """End the child and keep it ended; cancelling this kills it at once."""
        self._task.cancel()
        try:
            await asyncio.wait([self._task])
        except asyncio.CancelledError:
            self._task.cancel()
            await asyncio.wait([self._task], timeout=self._grace_seconds)
            raise

    async def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:  # ended by stop()
            began = time.monotonic()
            ending = await self._once()
            if time.monotonic() - began > HEALTHY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            self._say(f"{ending}; starting again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _once(self) -> str:
        """Start it and wait for its end; tells how that came."""
        try:
            child = await self._start()
        except (SomsError, OSError) as error:
            if not self._first.done():
                self._first.set_exception(error if isinstance(error, SomsError) else Unavailable(str(error)))
            return str(error)
        if not self._first.done():
            self._first.set_result(None)
        try:
            return f"ended with code {await child.wait()}"
        finally:
            await child.stop(self._grace_seconds)
