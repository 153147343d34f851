"""One lane per partition: events of a partition in their order, those of different partitions side by side. Knows no event's content.

So one event that hangs or is tried again holds up its own partition and no other, as long as there is room for those behind it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate, islice, takewhile
from typing import Any, Final

from faust.types import TP, EventT

ROOM: Final = 500
# what comes within a moment is done together, under load within a longer one; who has enough waits for no more
MOMENT_SECONDS: Final = 0.03
LONG_MOMENT_SECONDS: Final = 0.25
Work = Callable[[Sequence[EventT[Any]]], Awaitable[None]]
Size = Callable[[EventT[Any]], int]


class Lanes:
    """Runs `work` for what is put in, once at a time per partition; `crash` hears of what `work` raises.

    `work` gets what waits in the lane, oldest first: one event, or as many as are of a `size` of at most `most`, where it does better so.
    """

    def __init__(
        self, work: Work, crash: Callable[[BaseException], Awaitable[None]], most: int = 1, size: Size = lambda _: 1, room: int = ROOM
    ) -> None:
        """Start with no lane: each lasts as long as it has events. There is `room` for so many in all."""
        self._work, self._crash, self._most, self._size = work, crash, most, size
        self._waiting: dict[TP, deque[EventT[Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(room)

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
            moment = MOMENT_SECONDS
            while lane:
                if self._most > 1:
                    await asyncio.sleep(moment if sum(map(self._size, lane)) < self._most else 0)
                sizes = list(takewhile(lambda size: size <= self._most, accumulate(map(self._size, lane))))
                events = list(islice(lane, max(len(sizes), 1)))
                moment = LONG_MOMENT_SECONDS if len(events) > 1 else MOMENT_SECONDS
                await self._work(events)
                for _ in events:
                    lane.popleft()
                    self._room.release()
        except Exception as error:  # noqa: BLE001 - a mistake of ours: better a restart than a lane that stands still
            await self._crash(error)
        finally:
            del self._waiting[partition]
