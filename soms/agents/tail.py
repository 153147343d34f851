"""Reading along: the records of our topics as they come, without a group and without a trace. Knows nothing of how they are shown."""

import contextlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Final, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import ConsumerRecord, TopicPartition

from soms.agents.topics import administration
from soms.config import Settings
from soms.errors import FailedPrecondition, Unavailable

FETCH_MILLISECONDS: Final = 500


async def follow(
    settings: Settings, topics: Sequence[str], *, key: str | None = None, from_start: bool = False, to_end: bool = False
) -> AsyncGenerator[ConsumerRecord, None]:
    """The records of `topics` from now on, or `from_start`; for ever, or `to_end`: until all that is there now is read.

    With `key` only the partitions it may be in are read, others of their keys included. Raises Unavailable without Kafka or a topic.
    """
    if not settings.kafka:
        raise FailedPrecondition("no Kafka: start the engines (`soms engines`, `soms up`) or set SOMS_KAFKA")
    with _outages(settings.kafka):
        places = await _places(settings.kafka, topics, key)
        async with AIOKafkaConsumer(bootstrap_servers=settings.kafka, client_id="soms-tail", enable_auto_commit=False) as consumer:
            consumer.assign(places)
            first, last = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
            for place in places:
                consumer.seek(place, (first if from_start else last)[place])
            while not to_end or any([await consumer.position(place) < last[place] for place in places]):
                for records in (await consumer.getmany(timeout_ms=FETCH_MILLISECONDS)).values():
                    for record in records:
                        yield record


async def ends(settings: Settings, topics: Sequence[str]) -> dict[TopicPartition, int]:
    """By partition, the offset that the next record will have. Raises Unavailable without Kafka or a topic."""
    if not settings.kafka:
        raise FailedPrecondition("no Kafka: start the engines (`soms engines`, `soms up`) or set SOMS_KAFKA")
    with _outages(settings.kafka):
        places = await _places(settings.kafka, topics, None)
        async with AIOKafkaConsumer(bootstrap_servers=settings.kafka, client_id="soms-tail", enable_auto_commit=False) as consumer:
            return cast("dict[TopicPartition, int]", await consumer.end_offsets(places))


async def _places(kafka: str, topics: Sequence[str], key: str | None) -> list[TopicPartition]:
    async with administration(kafka) as admin:
        known = {one["topic"]: sorted(part["partition"] for part in one["partitions"]) for one in await admin.describe_topics()}
    if missing := [topic for topic in topics if not known.get(topic)]:
        raise Unavailable(f"there is no topic {', '.join(missing)}: create it with `soms topics`")
    chosen = {topic: known[topic] if key is None else [_partition(key, known[topic])] for topic in topics}
    return [TopicPartition(topic, partition) for topic, partitions in chosen.items() for partition in partitions]


def _partition(key: str, partitions: list[int]) -> int:
    return int(DefaultPartitioner()(key.encode(), partitions, partitions))


@contextlib.contextmanager
def _outages(kafka: str) -> Iterator[None]:
    try:
        yield
    except (KafkaError, TimeoutError) as error:
        raise Unavailable(f"Kafka at {kafka} does not answer: {error}") from error
