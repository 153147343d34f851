"""The guard of handlers that fold: events that wait together are read, counted at once, and all acknowledged. Knows no table.

One that cannot be read or counted goes to the dead letters and spoils nothing for the others.
"""

import time
import weakref
from collections.abc import Sequence
from typing import Any, Protocol

from faust.exceptions import PartitionsMismatch
from faust.streams import _current_event
from faust.types import EventT

from soms import envelope
from soms.agents.deadletter import DeadLetters, Failure, came
from soms.agents.figures import ENDED, SECONDS
from soms.agents.guard import AbandonedError, Guard, Patience
from soms.agents.strict import StrictConsumer
from soms.envelope import Envelope
from soms.errors import InvalidArgument, SomsError


class Fold(Protocol):
    """What becomes of events. Neither part may await, so nothing comes between what is read of a table and what is written."""

    def read(self, found: Envelope, time: float) -> Any:
        """What counts of an event whose record bears `time` (seconds since 1970); None if nothing does."""

    def fold(self, partition: int, told: Sequence[tuple[int, Any]]) -> None:
        """Count what was read of events of a partition, with their source offsets, oldest first; again, where it came before."""


class FoldGuard(Guard):
    """Brings events of one topic to their end, as many together as wait."""

    def __init__(self, consumer: StrictConsumer, letters: DeadLetters, fold: Fold, patience: Patience) -> None:
        """Count with `fold`."""
        super().__init__(consumer, letters, _alone, None, patience)
        self._fold = fold

    async def bring_all_to_end(self, events: Sequence[EventT[Any]]) -> None:
        """Count events of one partition that were taken. Raises PartitionsMismatch where a table is not whole: that is no event's fault."""
        began = time.monotonic()
        held = [event for event in events if self._stays(event)]
        failures = self._count(held) if held else []
        bad = {event.message.offset for event, _ in failures}
        for event in held:
            if event.message.offset not in bad:
                self._consumer.finish(event.message)
        topic = events[0].message.topic
        ENDED.labels(topic, "handled").inc(len(held) - len(failures))
        SECONDS.labels(topic).observe(time.monotonic() - began)
        self.attempts += len(events)
        for event, failure in failures:
            await self._bury(event, failure)

    def _stays(self, event: EventT[Any]) -> bool:
        try:
            self._stay(event)
        except AbandonedError:
            self._consumer.abandon(event.message)
            ENDED.labels(event.message.topic, "abandoned").inc()
            return False
        return True

    def _count(self, events: Sequence[EventT[Any]]) -> list[tuple[EventT[Any], Failure]]:
        """Count these; gives those that cannot be, and why."""
        _current_event.set(weakref.ref(events[-1]))  # for tables: it is of a lane's own task
        failures: list[tuple[EventT[Any], Failure]] = []
        told: list[tuple[EventT[Any], Any]] = []
        for event in events:
            try:
                found = envelope.read(came(event.message), event.message.key, event.message.value)
                content = self._fold.read(found, event.message.timestamp) if found.event else None
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the end of this event alone
                failures.append((event, _failure(error)))
            else:
                told += [(event, content)] if content is not None else []
        return failures + self._fold_all(told)

    def _fold_all(self, told: Sequence[tuple[EventT[Any], Any]]) -> list[tuple[EventT[Any], Failure]]:
        """Together; where that fails, each alone: what counts already does not count again."""
        if not told:
            return []
        try:
            self._fold.fold(told[0][0].message.partition, [(event.message.offset, content) for event, content in told])
        except PartitionsMismatch:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is to be the end of the one that caused it alone
            return [(told[0][0], _failure(error))] if len(told) == 1 else [bad for one in told for bad in self._fold_all([one])]
        return []

    async def _bury(self, event: EventT[Any], failure: Failure) -> None:
        try:
            outcome = await self._give_up(event, failure)
        except AbandonedError:
            outcome = "abandoned"
            self._consumer.abandon(event.message)
        except BaseException:
            self._consumer.abandon(event.message)
            raise
        else:
            self._consumer.finish(event.message)
        ENDED.labels(event.message.topic, outcome).inc()


def _failure(error: Exception) -> Failure:
    if isinstance(error, InvalidArgument):
        return Failure(error.reason, error.message, 1)
    return Failure(error.reason if isinstance(error, SomsError) else "failed", f"{type(error).__name__}: {error}", 1)


async def _alone(found: Envelope) -> None:
    raise LookupError(f"{found.type} is folded, not handled")
