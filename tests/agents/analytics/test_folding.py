"""What becomes of events that are counted together. No broker: letters and acknowledgements are kept here."""

import asyncio
import datetime as dt
import time
import uuid
from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka.structs import ConsumerRecord
from faust.exceptions import PartitionsMismatch
from faust.types.tuples import TP, Message

from soms import envelope
from soms.agents.folding import FoldGuard
from soms.agents.guard import Patience
from soms.agents.strict import Batch
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

    async def put(self, letter: ConsumerRecord[bytes, bytes], failure: Any) -> None:
        """Keep a letter."""
        self.letters[letter.offset] = failure.reason

    async def leave(self, _letter: ConsumerRecord[bytes, bytes], _failure: Any) -> None:
        """Keep none: the broker is away, and the worker has to leave."""
        self.draining.set()
        raise ConnectionError

    def read(self, found: envelope.Envelope, _time: float) -> int:
        """The number of an event."""
        assert found.event
        return found.event.version

    def mismatch(self, _partition: int, _told: Any) -> None:
        """Count nothing: the partition came without what was counted before."""
        raise PartitionsMismatch

    def fold(self, _partition: int, told: Any) -> None:
        """Count, or fail as a whole."""
        numbers = [number for _, number in told]
        if self.wrong & set(numbers):
            raise ZeroDivisionError
        self.counted.append(numbers)


class Event:
    """A batch as Faust hands it over: records of one partition, the values of some are given."""

    def __init__(self, first: int, size: int, values: Mapping[int, bytes] | None = None) -> None:
        records = [record(offset, (values or {}).get(offset)) for offset in range(first, first + size)]
        self.message = Batch(TP("topic", 0), records, 0)


def record(offset: int, value: bytes | None) -> ConsumerRecord[bytes, bytes]:
    """One as the broker has it."""
    told = StockLow(version=offset, sku="a", name="A", available=1, low_threshold=2)
    headers = envelope.headers(uuid.uuid4(), told.type, "/test", dt.datetime.now(dt.UTC))
    content = value or told.payload.encode()
    return ConsumerRecord("topic", 0, offset, round(time.time() * 1000), 0, b"a", content, None, 1, len(content), headers)


async def test_batches_are_counted_together() -> None:
    """Once for all that wait; then all are acknowledged."""
    trial = Trial(set())
    await trial.guard.bring_all_to_end([Event(0, 3), Event(3, 2)])  # type: ignore[list-item]

    assert (trial.counted, trial.finished, trial.guard.attempts) == ([[0, 1, 2, 3, 4]], [0, 3], 5)


async def test_a_bad_record_spoils_nothing() -> None:
    """What cannot be read or counted is a dead letter; the others of its batch count."""
    trial = Trial({3})
    await trial.guard.bring_all_to_end([Event(0, 5, {1: b"{"}), Event(5, 2)])  # type: ignore[list-item]

    assert trial.letters == {1: "unreadable", 3: "failed"}
    assert trial.counted == [[0], [2], [4], [5], [6]]
    assert sorted(trial.finished) == [0, 5]


async def test_a_batch_is_done_when_its_letters_are_kept() -> None:
    """A worker that has to leave before the broker has the letter leaves the whole batch; what counts already does not count again."""
    trial = Trial(set())
    trial.put = trial.leave  # type: ignore[method-assign]
    await trial.guard.bring_all_to_end([Event(0, 3, {1: b"{"}), Event(3, 1)])  # type: ignore[list-item]

    assert (trial.counted, trial.finished, trial.left) == ([[0, 2, 3]], [3], [0])


async def test_who_leaves_counts_nothing_more() -> None:
    """A worker that has to leave abandons what it has not counted."""
    trial = Trial(set())
    trial.draining.set()
    await trial.guard.bring_all_to_end([Event(0, 2), Event(2, 1)])  # type: ignore[list-item]

    assert (trial.left, trial.counted, trial.finished) == ([0, 2], [], [])


async def test_a_table_that_is_not_whole_is_no_events_fault() -> None:
    """The lane, and with it the worker, comes to an end; no event is given up, and none is done."""
    trial = Trial(set())
    trial.fold = trial.mismatch  # type: ignore[method-assign]
    with pytest.raises(PartitionsMismatch):
        await trial.guard.bring_all_to_end([Event(0, 3), Event(3, 1)])  # type: ignore[list-item]

    assert (trial.letters, trial.finished) == ({}, [])
