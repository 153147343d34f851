"""How far a consumer group is behind, as the brokers see it: asked over connections of its own, past a consumer that may have died."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from soms.agents.topics import administration

REQUEST_SECONDS: Final = 5


class Place(NamedTuple):
    """Where a group stands in a partition: the next offset to commit beyond, and the next that will be written."""

    committed: int
    end: int

    @property
    def behind(self) -> int:
        """How many are left."""
        return max(0, self.end - self.committed)


async def places(kafka: str, group: str, partitions: Iterable[tuple[str, int]]) -> dict[TopicPartition, Place]:
    """The place of `group` in each of these partitions; where it never committed, or that is deleted, the beginning counts.

    Raises KafkaError or OSError while the brokers are away.
    """
    wanted = [TopicPartition(*partition) for partition in partitions]
    if not wanted:
        return {}
    async with administration(kafka) as admin:
        committed = await admin.list_consumer_group_offsets(group, partitions=wanted)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, client_id=f"soms-{group}-lag", request_timeout_ms=REQUEST_SECONDS * 1000)
    try:
        await consumer.start()
        first, end = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
    finally:
        await consumer.stop()
    return {one: Place(max(first[one], committed[one].offset if one in committed else 0), end[one]) for one in wanted}
