"""Watches whether a worker gets on, and ends its process when it does not: its supervisor starts another. Knows no event.

The end comes from a timer outside the event loop, so a loop that stands still ends too; it writes where every thread stood.
"""

import asyncio
import contextlib
import faulthandler
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted

from soms.agents.app import App
from soms.agents.figures import LAG
from soms.agents.lag import Place, places
from soms.pulse import Pulse

LIMIT_SECONDS: Final = 60.0
# a partition that stands still beside others that move may just be waiting for its turn
STUCK: Final = 10
# more than a drain and a commit may take, and then all else
STOP_SECONDS: Final = 20.0
logger = logging.getLogger(__name__)


def end_within(seconds: float) -> None:
    """End this process, code 1, if it is still there then; the last call counts."""
    faulthandler.dump_traceback_later(seconds, exit=True)


class Watch:
    """Ends the process (code 1) after `limit_seconds` in which events wait, or it is not ready, and nothing moves.

    What moves: attempts that end, whatever their outcome, so that waiting for a database is no standstill; commits; tables that
    recover. While the brokers are away nothing can move, and nothing is ended for that.
    """

    def __init__(self, kafka: str, app: App, attempts: Callable[[], int], limit_seconds: float = LIMIT_SECONDS) -> None:
        """`attempts` tells how many have ended so far."""
        self._kafka, self._app, self._attempts, self._limit = kafka, app, attempts, limit_seconds
        self._moved: object = None
        self._since: dict[TopicPartition, tuple[int, float]] = {}
        self._pulse = Pulse("watching the lag", self.run_once, limit_seconds / 12)
        self._leaving = False
        self.behind = 0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch from now on."""
        self._live()
        try:
            async with self._pulse.running():
                yield
        finally:
            self.leave()

    def leave(self) -> None:
        """Give the process 20 s to end, whatever moves."""
        if not self._leaving:
            self._leaving = True
            end_within(STOP_SECONDS)

    async def run_once(self) -> None:
        """Look whether anything has moved since the last time."""
        try:
            async with asyncio.timeout(self._limit / 4):
                found = await places(self._kafka, self._app.conf.id, self._sources())
        except (KafkaError, OSError):
            self._live()
            raise
        self._tell(found)
        moved = (self._attempts(), sum(place.committed for place in found.values()), self._recovered())
        well = self._app.ready and not self.behind
        if (well or moved != self._moved) and not self._stuck(found):
            self._live()
        else:
            logger.warning("nothing moves", extra={"ready": self._app.ready, "behind": self.behind})
        self._moved = moved

    def _live(self) -> None:
        if not self._leaving:
            end_within(self._limit)

    def _sources(self) -> list[TopicPartition]:
        """The partitions of this worker whose events are handled."""
        acked = self._app.topics.acks_enabled_for
        try:
            return [TopicPartition(*partition) for partition in self._app.consumer.assignment() if acked(partition.topic)]
        except ConsumerNotStarted:
            return []

    def _recovered(self) -> int:
        return sum(offset or 0 for offset in self._app.recovery.active_offsets.values())

    def _stuck(self, found: Mapping[TopicPartition, Place]) -> bool:
        """Whether a partition has stood still for ten times the limit although there is something to read."""
        now = time.monotonic()
        self._since = {
            partition: before if (before := self._since.get(partition)) and before[0] == place.committed else (place.committed, now)
            for partition, place in found.items()
            if place.behind
        }
        return any(now - since > self._limit * STUCK for _, since in self._since.values())

    def _tell(self, found: Mapping[TopicPartition, Place]) -> None:
        self.behind = sum(place.behind for place in found.values())
        LAG.clear()
        for partition, place in found.items():
            LAG.labels(partition.topic, partition.partition).set(place.behind)
