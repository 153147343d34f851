"""The guard of handlers that fold: records that wait together are read, counted at once, and all acknowledged. Knows no table.

They come in batches. A record that cannot be read or counted goes to the dead letters and spoils nothing for the others.
"""

import asyncio
import time
import weakref
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, cast

from aiokafka.structs import ConsumerRecord
from faust.exceptions import PartitionsMismatch
from faust.streams import _current_event
from faust.types import EventT

from soms import envelope
from soms.agents.deadletter import DeadLetters, Failure
from soms.agents.figures import ENDED, SECONDS
from soms.agents.guard import AbandonedError, Guard, Patience
from soms.agents.strict import Batch, StrictConsumer
from soms.envelope import Envelope
from soms.errors import InvalidArgument, SomsError


class Fold(Protocol):
    """What becomes of events. Neither part may await, so nothing comes between what is read of a table and what is written."""

    def read(self, found: Envelope, time: float) -> Any:
        """What counts of an event whose record bears `time` (seconds since 1970); None if nothing does."""

    def fold(self, partition: int, told: Sequence[tuple[int, Any]]) -> None:
        """Count what was read of events of a partition, with their source offsets, oldest first; again, where it came before."""


class Read(NamedTuple):
    """A record, the batch it came in, and what counts of it or why nothing can."""

    record: ConsumerRecord
    event: EventT[Any]
    content: Any


class FoldGuard(Guard):
    """Brings batches of one topic to their end, as many together as wait."""

    def __init__(self, consumer: StrictConsumer, letters: DeadLetters, fold: Fold, patience: Patience) -> None:
        """Count with `fold`."""
        super().__init__(consumer, letters, _alone, None, patience)
        self._fold = fold

    async def bring_all_to_end(self, events: Sequence[EventT[Any]]) -> None:
        """Count batches of one partition that were taken. Raises PartitionsMismatch for a table that is not whole: no event is to blame."""
        began = time.monotonic()
        held = [event for event in events if self._stays(event)]
        if not held:
            return
        failures: dict[EventT[Any], list[Read]] = defaultdict(list)
        try:
            for failure in self._count(held):
                failures[failure.event].append(failure)
        except PartitionsMismatch:
            for event in held:
                self._consumer.abandon(event.message)
            raise
        for event in held:
            if event not in failures:
                self._consumer.finish(event.message)
        topic, number = held[0].message.topic, sum(map(size, held))
        ENDED.labels(topic, "handled").inc(number - sum(map(len, failures.values())))
        SECONDS.labels(topic).observe(time.monotonic() - began)
        self.attempts += number
        for event, bad in failures.items():
            await self._bury(event, bad)

    def _stays(self, event: EventT[Any]) -> bool:
        try:
            self._stay(event)
        except AbandonedError:
            self._consumer.abandon(event.message)
            ENDED.labels(event.message.topic, "abandoned").inc(size(event))
            return False
        return True

    def _count(self, events: Sequence[EventT[Any]]) -> list[Read]:
        """Count these; gives those that cannot be, and why."""
        _current_event.set(weakref.ref(events[-1]))  # for tables: it is of a lane's own task
        failures: list[Read] = []
        told: list[Read] = []
        for event in events:
            for record in _records(event):
                try:
                    found = envelope.read(record.headers, record.key, record.value)
                    content = self._fold.read(found, record.timestamp / 1000) if found.event else None
                except Exception as error:  # noqa: BLE001 - whatever it is, it is the end of this event alone
                    failures.append(Read(record, event, _failure(error)))
                else:
                    told += [Read(record, event, content)] if content is not None else []
        return failures + self._fold_all(told)

    def _fold_all(self, told: Sequence[Read]) -> list[Read]:
        """Together; where that fails, each alone: what counts already does not count again."""
        if not told:
            return []
        try:
            self._fold.fold(told[0].record.partition, [(one.record.offset, one.content) for one in told])
        except PartitionsMismatch:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is to be the end of the one that caused it alone
            return [told[0]._replace(content=_failure(error))] if len(told) == 1 else [bad for one in told for bad in self._fold_all([one])]
        return []

    async def _bury(self, event: EventT[Any], failures: Sequence[Read]) -> None:
        """Give up the records that failed; only then is their batch done."""
        try:
            for outcome in await asyncio.gather(*(self._give_up(event, failure.content, failure.record) for failure in failures)):
                ENDED.labels(event.message.topic, outcome).inc()
        except AbandonedError:
            ENDED.labels(event.message.topic, "abandoned").inc(len(failures))
            self._consumer.abandon(event.message)
        except BaseException:
            self._consumer.abandon(event.message)
            raise
        else:
            self._consumer.finish(event.message)


def size(event: EventT[Any]) -> int:
    """How many records came in a batch."""
    return len(_records(event))


def _records(event: EventT[Any]) -> Sequence[ConsumerRecord]:
    return cast("Batch", event.message).records


def _failure(error: Exception) -> Failure:
    if isinstance(error, InvalidArgument):
        return Failure(error.reason, error.message, 1)
    return Failure(error.reason if isinstance(error, SomsError) else "failed", f"{type(error).__name__}: {error}", 1)


async def _alone(found: Envelope) -> None:
    raise LookupError(f"{found.type} is folded, not handled")
