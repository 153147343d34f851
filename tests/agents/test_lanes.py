"""Lanes keep the order of a partition, hold up no other, and have an end."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from faust.types.tuples import TP, Message

from soms.agents.lanes import ROOM, Lanes


class Event:
    """An event as Faust hands it over."""

    def __init__(self, partition: int, offset: int) -> None:
        self.message = Message("topic", partition, offset, 0.0, 0, [], None, None, None, tp=TP("topic", partition))


async def reached(condition: Callable[[], bool]) -> None:
    """Let other tasks run until this holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0)


async def test_lanes_keep_order_and_hold_up_nobody() -> None:
    """Events of a partition end one after the other; one that hangs does not stop those of another partition."""
    ended: list[tuple[int, int]] = []
    hanging = asyncio.Event()

    async def work(events: Any) -> None:
        (event,) = events
        if event.message.partition == 0 and not ended.count((0, 0)):
            await hanging.wait()
        ended.append((event.message.partition, event.message.offset))

    async def crash(error: BaseException) -> None:
        raise error

    lanes = Lanes(work, crash)
    for offset in range(20):
        for partition in range(2):
            await lanes.put(Event(partition, offset))  # type: ignore[arg-type]
    await reached(lambda: len(ended) == 20)
    assert ended == [(1, offset) for offset in range(20)]
    hanging.set()
    await reached(lambda: len(ended) == 40)

    assert ended[20:] == [(0, offset) for offset in range(20)]


async def test_lanes_have_an_end() -> None:
    """Whoever puts in more than there is room for waits; what `work` raises is told."""
    told: list[BaseException] = []
    go = asyncio.Event()

    async def work(events: Any) -> None:
        (event,) = events
        await go.wait()
        if event.message.offset == ROOM:
            raise ZeroDivisionError

    async def crash(error: BaseException) -> None:
        told.append(error)

    lanes = Lanes(work, crash)
    for offset in range(ROOM):
        await lanes.put(Event(0, offset))  # type: ignore[arg-type]
    putting = asyncio.create_task(lanes.put(Event(0, ROOM)))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    assert not putting.done()
    go.set()
    await reached(lambda: putting.done() and bool(told))

    assert isinstance(told[0], ZeroDivisionError)


async def test_a_lane_gives_as_much_as_fits() -> None:
    """As many as wait, oldest first, up to a size in all; one that is larger alone comes alone."""
    given: list[list[int]] = []
    sizes = [300, 200, 700, 1, 499, 1]

    async def work(events: Any) -> None:
        given.append([event.message.offset for event in events])

    async def crash(error: BaseException) -> None:
        raise error

    lanes = Lanes(work, crash, 500, lambda event: sizes[event.message.offset])
    for offset in range(len(sizes)):
        await lanes.put(Event(0, offset))  # type: ignore[arg-type]
    await reached(lambda: sum(map(len, given)) == len(sizes))

    assert given == [[0, 1], [2], [3, 4], [5]]


async def test_who_has_enough_waits_for_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backlog is worked off without a pause."""
    monkeypatch.setattr("soms.agents.lanes.MOMENT_SECONDS", 3600)
    monkeypatch.setattr("soms.agents.lanes.LONG_MOMENT_SECONDS", 3600)
    given = []

    async def work(events: Any) -> None:
        given.append(len(events))

    async def crash(error: BaseException) -> None:
        raise error

    lanes = Lanes(work, crash, 10)
    for offset in range(35):
        await lanes.put(Event(0, offset))  # type: ignore[arg-type]
    await reached(lambda: len(given) == 3)

    assert given == [10, 10, 10]
