"""History: the orders' topic into the facts of schema `analytics`, by a plain consumer, which goes on while Faust rebalances.

It stands still while PostgreSQL is away, and nothing else with it: what it has read is kept and tried again.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord, TopicPartition

from soms.agents import deadletter
from soms.agents.deadletter import Failure
from soms.agents.topics import dead_letters
from soms.config import Settings
from soms.envelope import Envelope, read
from soms.errors import InvalidArgument
from soms.events import OrderEvent
from soms.models.database import reachable
from soms.models.history_projection import Projection
from soms.pulse import Pulse

CONSUMER: Final = "analytics"
GROUP: Final = "analytics.history"
MOST: Final = 500
WAIT_MILLISECONDS: Final = 500
RETRY_SECONDS: Final = 1.0
LEAVE_SECONDS: Final = 3.0
# without a batch, empty or not, for so long, it is not up
ALIVE_SECONDS: Final = 10.0
Bad = tuple[ConsumerRecord, InvalidArgument]


class History:
    """Reads and projects; `lag` is how many records it knows of and has not projected."""

    def __init__(self, settings: Settings, topic: str = OrderEvent.topic, group: str = GROUP, consumer: str = CONSUMER) -> None:
        """Read `topic` as a member of `group`; dead letters are those of `consumer`."""
        self._kafka, self._topic, self._group, self._letters = settings.kafka or "", topic, group, dead_letters(consumer)
        self._projection = Projection(settings)
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None
        self._batch: dict[TopicPartition, list[ConsumerRecord]] = {}
        self._alive_at = 0.0
        self.lag = 0
        self.pulse = Pulse("projecting history", self.run_once, RETRY_SECONDS, finish=self.close)

    @property
    def ready(self) -> bool:
        """Whether it gets on."""
        return time.monotonic() - self._alive_at < ALIVE_SECONDS

    async def run_once(self) -> None:
        """Project what there is, at most `MOST` records, then commit; asks for the next run.

        Raises KafkaError, OSError or Unavailable, and tries the same records again next time.
        """
        consumer = await self._started()
        self._batch = self._batch or await consumer.getmany(timeout_ms=WAIT_MILLISECONDS, max_records=MOST)
        records = [record for part in self._batch.values() for record in part]
        if records:
            await self._project(records)
            done, self._batch = {place: part[-1].offset + 1 for place, part in self._batch.items()}, {}
            # a partition may be another member's by now: it reads these again, which does no harm
            with contextlib.suppress(KafkaError):
                await consumer.commit(done)
        self._alive_at = time.monotonic()
        self.lag = sum([max(0, (consumer.highwater(place) or 0) - await consumer.position(place)) for place in consumer.assignment()])
        self.pulse.soon()

    async def close(self) -> None:
        """Leave the group, and forget what was read but not projected."""
        consumer, producer, self._consumer, self._producer, self._batch = self._consumer, self._producer, None, None, {}
        for client in (consumer, producer):
            if client:
                with contextlib.suppress(KafkaError, OSError):
                    await client.stop()

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                self._topic,
                bootstrap_servers=self._kafka,
                client_id="soms-history",
                group_id=self._group,
                auto_offset_reset="earliest",
                enable_auto_commit=False,
                session_timeout_ms=10_000,
            )
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer

    async def _project(self, records: Sequence[ConsumerRecord]) -> None:
        """Project what can be read; the rest is buried, before the commit."""
        came, envelopes, bad = readable(records)
        refusals = await self._projection.project(envelopes)
        for record, error in [*bad, *((record, error) for record, error in zip(came, refusals, strict=True) if error)]:
            await self._bury(record, error)

    async def _bury(self, record: ConsumerRecord, error: InvalidArgument) -> None:
        if self._producer is None:
            producer = AIOKafkaProducer(bootstrap_servers=self._kafka, client_id="soms-history", acks="all", max_request_size=2 << 20)
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        told: Any = deadletter.headers(record, Failure(error.reason, error.message, 1))
        value = b"" if record.key is None and record.value is None else record.value
        await self._producer.send_and_wait(self._letters, value, record.key, headers=told)


def readable(records: Sequence[ConsumerRecord]) -> tuple[list[ConsumerRecord], list[Envelope], list[Bad]]:
    """The records that can be read, what they say, and the others with why not."""
    came, envelopes, bad = list[ConsumerRecord](), list[Envelope](), list[Bad]()
    for record in records:
        try:
            envelopes.append(read(record.headers, record.key, record.value))
            came.append(record)
        except InvalidArgument as error:
            bad.append((record, error))
    return came, envelopes, bad


@contextlib.asynccontextmanager
async def history(settings: Settings) -> AsyncIterator[History]:
    """Keep schema `analytics` reachable for the block, without waiting for PostgreSQL, and project beside it."""
    one = History(settings)
    async with reachable(settings, "analytics"), one.pulse.running(LEAVE_SECONDS):
        yield one
