"""Natural batching: what arrives while rounds are under way forms the next one. Knows not what a round does."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Rounds(Generic[Item, Result]):
    """Runs items together, at most `size` at once and `parallel` rounds at a time; an item alone waits for nobody."""

    def __init__(self, run: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]], size: int = 32, parallel: int = 2) -> None:
        """`run` gives for each item its result or its exception, in order."""
        self._run, self._size, self._parallel = run, size, parallel
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()

    async def submit(self, item: Item) -> Result:
        """The result of the round that carries `item`; a caller that gives up does not stop it."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        self._start()
        return await future

    async def drained(self) -> None:
        """Wait until no round is under way and nothing waits for one."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _start(self, done: asyncio.Task[None] | None = None) -> None:
        if done:
            self._under_way.discard(done)
        while self._waiting and len(self._under_way) < self._parallel:
            batch = [self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))]
            # a round belongs to no caller: it must not inherit one's deadline or identity
            task = asyncio.get_running_loop().create_task(self._round(batch), context=Context())
            self._under_way.add(task)
            task.add_done_callback(self._start)

    async def _round(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._run([item for item, _ in batch])
        except Exception as error:  # noqa: BLE001 - whatever ends a round is the answer of all in it
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
