"""Keeps a board: reads the changelogs of all partitions along, without a group, and tells how far the board is behind. Knows no HTTP."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from soms.agents.board import Board
from soms.agents.topics import PARTITIONS, administration
from soms.errors import InvalidArgument, Unavailable
from soms.pulse import Pulse

MEASURE_SECONDS: Final = 0.5
# two measurements, and what they take
FRESH_SECONDS: Final = 2.0
WAIT_MILLISECONDS: Final = 100
RECORDS: Final = 2000
SAMPLES: Final = 1000
RETRY_SECONDS: Final = 2.0
logger = logging.getLogger(__name__)
Offsets = Mapping[TopicPartition, int]


class Sample(NamedTuple):
    """Where topics ended at a time: all that was told before is counted once the ends are reached."""

    at: float
    ends: Offsets


class Following:
    """Reads changelogs onto a board. `ready` once all has been read that was there at the start."""

    def __init__(
        self, kafka: str, group: str, source: str, changelogs: Mapping[str, str], board: Board, *, changed: Callable[[], None]
    ) -> None:
        """`changelogs` gives the table by topic; `changed` is called when the board has changed."""
        self._kafka, self._group, self._changelogs, self._board, self._changed = kafka, group, changelogs, board, changed
        self._source = [TopicPartition(source, partition) for partition in range(PARTITIONS)]
        self._places = [TopicPartition(topic, partition) for topic in changelogs for partition in range(PARTITIONS)]
        self._reached: dict[TopicPartition, int] = {}
        self._samples: deque[Sample] = deque()
        self._complete, self._began = 0.0, time.time()
        self.ready = False
        self.pulse = Pulse("following the live windows", self.run_once, RETRY_SECONDS)

    def lag_seconds(self, now: float) -> float:
        """How old the oldest event may be that is in the topic and not on the board; 0 where there is none.

        Before the board was complete for the first time nobody knows; then it is at least so much.
        """
        behind = now - (self._complete or self._began - FRESH_SECONDS)
        return 0.0 if behind < FRESH_SECONDS else behind

    async def run_once(self) -> None:
        """Read until something fails."""
        async with administration(self._kafka) as admin, self._consumer() as consumer:
            known = {topic["topic"] for topic in await admin.describe_topics()}
            if missing := set(self._changelogs) - known:
                raise Unavailable(f"there is no topic {', '.join(sorted(missing))} yet")
            await self._begin(consumer)
            measuring = asyncio.create_task(self._measure(consumer, admin))
            try:
                while not measuring.done():
                    await self._read(consumer)
                await measuring
            finally:
                measuring.cancel()

    @contextlib.asynccontextmanager
    async def _consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._kafka,
            client_id=f"soms-{self._group}-board",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=WAIT_MILLISECONDS,
        )
        try:
            await consumer.start()
            yield consumer
        finally:
            await consumer.stop()

    async def _begin(self, consumer: AIOKafkaConsumer) -> None:
        """Go on where it stopped; from the beginning at first, and where a topic was made anew."""
        consumer.assign(self._places)
        first, ends = await consumer.beginning_offsets(self._places), await consumer.end_offsets(self._places)
        for place in self._places:
            reached = self._reached.get(place, 0)
            self._reached[place] = reached if first[place] <= reached <= ends[place] else first[place]
            consumer.seek(place, self._reached[place])
        while not self.ready:
            await self._read(consumer)
            self.ready = all(self._reached[place] >= ends[place] for place in self._places)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        before = self._board.revision
        for place, records in (await consumer.getmany(timeout_ms=WAIT_MILLISECONDS, max_records=RECORDS)).items():
            for record in records:
                self._take(place, record)
            self._reached[place] = records[-1].offset + 1
        for place in self._places:
            # the end of a log may be a hole
            self._reached[place] = max(self._reached[place], await consumer.position(place))
        if self._board.revision != before:
            self._changed()

    def _take(self, place: TopicPartition, record: Any) -> None:
        try:
            self._board.take(self._changelogs[place.topic], record.key, record.value)
        except InvalidArgument as error:
            logger.warning("%s", error.message, extra={"partition": place.partition, "offset": record.offset})

    async def _measure(self, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        while True:
            await self.measure(consumer, admin)
            await asyncio.sleep(MEASURE_SECONDS)

    async def measure(self, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        """Find out up to when all is on the board: committed or counted, written to the changelogs, and read from there."""
        now = time.time()
        ends: Offsets = await consumer.end_offsets([*self._source, *self._places])
        committed = await admin.list_consumer_group_offsets(self._group, partitions=self._source)
        if len(self._samples) < SAMPLES:
            self._samples.append(Sample(now, ends))
        done = dict(self._reached)
        for place in self._source:
            at = committed[place].offset if place in committed else -1
            done[place] = max(at, self._board.offsets.get(place.partition, -1) + 1)
        while self._samples and all(done[place] >= end for place, end in self._samples[0].ends.items()):
            self._complete = self._samples.popleft().at
