"""What becomes of events that are counted together. No broker: letters and acknowledgements are kept here."""

import asyncio
import datetime as dt
import time
import uuid
from typing import Any

from faust.types.tuples import TP, Message

from soms import envelope
from soms.agents.folding import FoldGuard
from soms.agents.guard import Patience
from soms.events import StockLow


class Trial:
    """A guard, and all that it needs."""

    def __init__(self, wrong: set[int]) -> None:
        self.draining, self.wrong = asyncio.Event(), wrong
        self.finished: list[int] = []
        self.left: list[int] = []
        self.letters: dict[int, str] = {}
        self.counted: list[list[int]] = []
        self.guard = FoldGuard(self, self, self, Patience())  # type: ignore[arg-type]

    def holds(self, _message: Message) -> bool:
        """Whether it is ours."""
        return True

    def finish(self, message: Message) -> None:
        """Done."""
        self.finished.append(message.offset)

    def abandon(self, message: Message) -> None:
        """Left."""
        self.left.append(message.offset)

    async def put(self, message: Message, failure: Any) -> None:
        """Keep a letter."""
        self.letters[message.offset] = failure.reason

    def read(self, found: envelope.Envelope, _time: float) -> int:
        """The number of an event."""
        assert found.event
        return found.event.version

    def fold(self, _partition: int, told: Any) -> None:
        """Count, or fail as a whole."""
        numbers = [number for _, number in told]
        if self.wrong & set(numbers):
            raise ZeroDivisionError
        self.counted.append(numbers)


class Event:
    """An event as Faust hands it over."""

    def __init__(self, offset: int, value: bytes | None = None) -> None:
        told = StockLow(version=offset, sku="a", name="A", available=1, low_threshold=2)
        headers = envelope.headers(uuid.uuid4(), told.type, "/test", dt.datetime.now(dt.UTC))
        self.message = Message("topic", 0, offset, time.time(), 0, headers, b"a", value or told.payload.encode(), None, tp=TP("topic", 0))


async def test_events_are_counted_together() -> None:
    """Once for all that wait; then all are acknowledged."""
    trial = Trial(set())
    await trial.guard.bring_all_to_end([Event(n) for n in range(5)])  # type: ignore[misc]

    assert (trial.counted, trial.finished) == ([[0, 1, 2, 3, 4]], [0, 1, 2, 3, 4])


async def test_a_bad_event_spoils_nothing() -> None:
    """What cannot be read or counted is a dead letter; the others count."""
    trial = Trial({3})
    events = [Event(0), Event(1, b"{"), Event(2), Event(3), Event(4)]
    await trial.guard.bring_all_to_end(events)  # type: ignore[arg-type]

    assert trial.letters == {1: "unreadable", 3: "failed"}
    assert trial.counted == [[0], [2], [4]]
    assert sorted(trial.finished) == [0, 1, 2, 3, 4]


async def test_who_leaves_counts_nothing_more() -> None:
    """A worker that has to leave abandons what it has not counted."""
    trial = Trial(set())
    trial.draining.set()
    await trial.guard.bring_all_to_end([Event(0), Event(1)])  # type: ignore[list-item]

    assert (trial.left, trial.counted, trial.finished) == ([0, 1], [], [])
