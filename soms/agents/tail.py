"""Reading along: the records of our topics as they come, without a group and without a trace. Knows nothing of how they are shown."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import ConsumerRecord, TopicPartition

from soms.config import Settings
from soms.errors import FailedPrecondition, Unavailable

CONNECT_SECONDS: Final = 10
FETCH_MILLISECONDS: Final = 500


async def follow(
    settings: Settings, topics: Sequence[str], *, key: str | None = None, from_start: bool = False, to_end: bool = False
) -> AsyncIterator[ConsumerRecord]:
    """The records of `topics` from now on, or `from_start`; for ever, or `to_end`: until all that is there now is read.

    With `key` only the partitions it may be in are read, others of their keys included. Raises Unavailable without Kafka or a topic.
    """
    async with _consumer(settings) as consumer:
        places = [place for topic in topics for place in _places(consumer, topic, key)]
        consumer.assign(places)
        first, last = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        for place in places:
            consumer.seek(place, (first if from_start else last)[place])
        while not to_end or any([await consumer.position(place) < last[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=FETCH_MILLISECONDS)).values():
                for record in records:
                    yield record


@contextlib.asynccontextmanager
async def _consumer(settings: Settings) -> AsyncIterator[Any]:
    if not settings.kafka:
        raise FailedPrecondition("no Kafka: start the engines (`soms engines`, `soms up`) or set SOMS_KAFKA")
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, client_id="soms-tail", enable_auto_commit=False)
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await consumer.start()
            await consumer.topics()
        yield consumer
    except (KafkaError, TimeoutError) as error:
        raise Unavailable(f"Kafka at {settings.kafka} does not answer: {error}") from error
    finally:
        await consumer.stop()


def _places(consumer: Any, topic: str, key: str | None) -> list[TopicPartition]:
    partitions = sorted(consumer.partitions_for_topic(topic) or ())
    if not partitions:
        raise Unavailable(f"there is no topic {topic}: create it with `soms topics`")
    chosen = partitions if key is None else [DefaultPartitioner()(key.encode(), partitions, partitions)]
    return [TopicPartition(topic, partition) for partition in chosen]
