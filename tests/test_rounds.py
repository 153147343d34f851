"""Natural batching."""

import asyncio
from collections.abc import Sequence

import pytest

from soms.rounds import Rounds


class Slow:
    """Rounds that wait at a gate and keep what they carried."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.started = asyncio.Condition()

    async def __call__(self, items: Sequence[int]) -> Sequence[int | Exception]:
        """Double each item; an odd one is an error."""
        async with self.started:
            self.batches.append(list(items))
            self.started.notify_all()
        await self.gate.wait()
        return [ValueError(n) if n % 2 else n * 2 for n in items]

    async def under_way(self, rounds: int) -> None:
        """Wait until so many rounds have started."""
        async with asyncio.timeout(5), self.started:
            await self.started.wait_for(lambda: len(self.batches) >= rounds)


async def test_what_arrives_meanwhile_forms_the_next_round() -> None:
    """Two rounds are under way at most; the rest waits and goes together, up to the size of a round."""
    slow = Slow()
    rounds = Rounds(slow, size=4, parallel=2)
    tasks = [asyncio.create_task(rounds.submit(n)) for n in range(0, 20, 2)]

    await slow.under_way(2)
    slow.gate.set()
    results = await asyncio.gather(*tasks)

    assert results == [n * 2 for n in range(0, 20, 2)]
    assert slow.batches == [[0], [2], [4, 6, 8, 10], [12, 14, 16, 18]]


async def test_each_item_has_its_own_outcome() -> None:
    """An error belongs to its item alone; an error of the whole round to all in it."""
    slow = Slow()
    slow.gate.set()
    rounds = Rounds(slow)

    fine, wrong = await asyncio.gather(rounds.submit(2), rounds.submit(3), return_exceptions=True)
    assert fine == 4
    assert isinstance(wrong, ValueError)

    async def broken(items: Sequence[int]) -> Sequence[int | Exception]:
        raise KeyError(items[0])

    with pytest.raises(KeyError):
        await Rounds(broken).submit(1)


async def test_a_caller_that_gives_up_stops_nothing() -> None:
    """The round goes on, and so do the others in it."""
    slow = Slow()
    rounds = Rounds(slow, parallel=1)
    first = asyncio.create_task(rounds.submit(2))
    await slow.under_way(1)
    leaver, stayer = asyncio.create_task(rounds.submit(4)), asyncio.create_task(rounds.submit(6))
    await asyncio.sleep(0)
    first.cancel()
    leaver.cancel()
    slow.gate.set()

    assert await stayer == 12
    await rounds.drained()
    assert slow.batches == [[2], [4, 6]]
