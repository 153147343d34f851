"""Outbox rows to Kafka: CloudEvents 1.0 in binary mode, acknowledged by all replicas. Knows no database.

Rows of one partition go in order, each batch only after the one before is acknowledged. So wherever an event lies in a topic, every
earlier event of its key that was not yet published lies before it, whatever other relays sent, and whatever arrives twice or late.
"""

import asyncio
import contextlib
import datetime as dt
import time
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidTimestampError, MessageSizeTooLargeError, RecordListTooLargeError, UnknownTopicOrPartitionError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import TopicPartition

from soms import envelope
from soms.errors import Unavailable
from soms.order_payload import LARGEST_BYTES

REQUEST_SECONDS: Final = 3
CLOSE_SECONDS: Final = 2
# what a broker says of the records themselves
REFUSALS: Final = (MessageSizeTooLargeError, RecordListTooLargeError, InvalidTimestampError)
Row = Mapping[str, Any]


@dataclass
class Outcome:
    """What became of rows: ids that Kafka acknowledged, and why the first row of a key cannot go.

    `doubtful`: a batch of several was refused, so that nobody knows which of them is to blame.
    """

    published: list[int] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    doubtful: bool = False


class Producer:
    """An idempotent producer, made anew on the next use after it is closed."""

    def __init__(self, bootstrap: str, source: str) -> None:
        """`source` is the events' `ce_source`."""
        self._bootstrap, self._source = bootstrap, source
        self._producer: AIOKafkaProducer | None = None
        self._partition = DefaultPartitioner()

    async def send(self, rows: Sequence[Row], outcome: Outcome, *, one_by_one: bool = False) -> None:
        """Send rows, in order, and note in `outcome` what came of each while that goes on.

        Raises KafkaError, OSError or Unavailable when something else than a row is to blame; then, and after a refusal, close.
        """
        if self._producer is None:
            self._producer = await self._started()
        lanes: dict[TopicPartition, deque[Row]] = defaultdict(deque)
        for row in rows:
            lanes[await self._place(row)].append(row)
        sending = (self._lane(place, lane, outcome, 1 if one_by_one else len(lane)) for place, lane in lanes.items())
        ended = await asyncio.gather(*sending, return_exceptions=True)
        for error in ended:
            if error:
                raise error

    async def close(self) -> None:
        """Drop the connections and what is under way, without the wait for a broker that `stop` would be; the outbox has it all."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        producer._closed = True  # noqa: SLF001 - what `stop` sets
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await producer.client.close()
                await producer._sender.close()  # noqa: SLF001 - `stop` without the flush

    async def _started(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            client_id="soms-relay",
            acks="all",
            enable_idempotence=True,
            max_batch_size=LARGEST_BYTES,
            request_timeout_ms=REQUEST_SECONDS * 1000,
        )
        try:
            await producer.start()
        except BaseException:
            self._producer = producer
            await self.close()
            raise
        return producer

    async def _place(self, row: Row) -> TopicPartition:
        if self._producer is None:
            raise ConnectionError("closed")
        try:
            partitions = sorted(await self._producer.partitions_for(row["topic"]))
        except UnknownTopicOrPartitionError:
            raise Unavailable(f"Kafka has no {row['topic']}: run `soms topics`") from None
        return TopicPartition(row["topic"], self._partition(row["key"].encode(), partitions, partitions))

    async def _lane(self, place: TopicPartition, rows: deque[Row], outcome: Outcome, most: int) -> None:
        """The rows of one partition, batch after batch, until one fails."""
        while rows and self._producer:
            batch, taken = self._batch(self._producer.create_batch(), rows, outcome, most)
            if not taken:
                return
            try:
                await (await self._producer.send_batch(batch, place.topic, partition=place.partition))
            except REFUSALS as error:
                outcome.doubtful |= len(taken) > 1
                if len(taken) == 1:
                    outcome.refused[taken[0]["key"]] = str(error)
                return
            outcome.published += [row["id"] for row in taken]

    def _batch(self, batch: BatchBuilder, rows: deque[Row], outcome: Outcome, most: int) -> tuple[BatchBuilder, list[Row]]:
        """As many of the rows as a batch holds, at most `most`; a row that no batch can hold stops its key."""
        taken: list[Row] = []
        while rows and len(taken) < most:
            row = rows[0]
            value, key = row["payload"].encode(), row["key"].encode()
            if len(value) > LARGEST_BYTES:
                outcome.refused[row["key"]] = f"event {row['event_id']} has {len(value)} bytes"
            if row["key"] not in outcome.refused:
                happened = moment(row)
                headers = envelope.headers(row["event_id"], row["type"], self._source, happened, row["traceparent"])
                if not batch.append(timestamp=milliseconds(happened), key=key, value=value, headers=headers):
                    break
                taken.append(row)
            rows.popleft()
        return batch, taken


def moment(row: Row) -> dt.datetime:
    """When the fact came true: its member `at`, which for an imported order is long ago, else when it was written down."""
    written: dt.datetime = row["created_at"]
    try:
        at = dt.datetime.fromisoformat(orjson.loads(row["payload"])["at"])
    except (ValueError, KeyError, TypeError):
        return written
    return at if at.tzinfo else written


def milliseconds(moment: dt.datetime) -> int:
    """Kafka's timestamp; a broker takes none from before 1970 or from the future."""
    return max(0, min(int(moment.timestamp() * 1000), time.time_ns() // 1_000_000))
