"""One lane per partition: events of a partition one after the other, those of different partitions side by side. Knows no event's content.

So one event that hangs or is tried again holds up its own partition and no other, as long as there is room for those behind it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

from faust.types import TP, EventT

ROOM: Final = 500
Work = Callable[[EventT[Any]], Awaitable[None]]


class Lanes:
    """Runs `work` for each event that is put in, at most one at a time per partition; `crash` hears of what `work` raises."""

    def __init__(self, work: Work, crash: Callable[[BaseException], Awaitable[None]]) -> None:
        """Start with no lane: each lasts as long as it has events."""
        self._work, self._crash = work, crash
        self._waiting: dict[TP, deque[EventT[Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(ROOM)

    async def put(self, event: EventT[Any]) -> None:
        """Line the event up; waits while there are too many."""
        lane = self._waiting.get(event.message.tp)
        if lane is None:
            lane = self._waiting[event.message.tp] = deque()
            task = asyncio.create_task(self._run(event.message.tp, lane))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        lane.append(event)
        await self._room.acquire()

    async def _run(self, partition: TP, lane: deque[EventT[Any]]) -> None:
        try:
            while lane:
                await self._work(lane[0])
                lane.popleft()
                self._room.release()
        except Exception as error:  # noqa: BLE001 - a mistake of ours: better a restart than a lane that stands still
            await self._crash(error)
        finally:
            del self._waiting[partition]
