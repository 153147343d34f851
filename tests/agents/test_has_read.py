"""What history has read before a moment, asked of a real broker."""

import datetime as dt
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from soms.agents import topics
from soms.agents.findings import has_read
from soms.local import ports
from soms.local.kafka import Kafka

NOON = dt.datetime(2026, 6, 17, 12, tzinfo=dt.UTC)
GROUP, TOPIC = "reading", "orders-to-read"


async def test_has_read(tmp_path: Path) -> None:
    """An empty topic is read; a record of before the moment has to be committed, a later one has not."""
    broker_port, controller_port = ports.choose(2)
    kafka = Kafka(tmp_path / "kafka", broker_port, controller_port)
    try:
        await kafka.start()
        async with topics.administration(kafka.address) as admin:
            await admin.create_topics([NewTopic(TOPIC, topics.PARTITIONS, 1)])
        consumer = AIOKafkaConsumer(bootstrap_servers=kafka.address, group_id=GROUP, enable_auto_commit=False)
        consumer.assign([TopicPartition(TOPIC, 3)])
        await consumer.start()
        await consumer.commit({TopicPartition(TOPIC, 3): 0})
        assert await has_read(kafka.address, NOON, GROUP, TOPIC)
        producer = AIOKafkaProducer(bootstrap_servers=kafka.address)
        await producer.start()
        for minutes in (-1, 1):
            when = int((NOON + dt.timedelta(minutes=minutes)).timestamp() * 1000)
            await producer.send_and_wait(TOPIC, b"x", partition=3, timestamp_ms=when)
        await producer.stop()
        assert not await has_read(kafka.address, NOON, GROUP, TOPIC)
        await consumer.commit({TopicPartition(TOPIC, 3): 1})
        await consumer.stop()
        assert await has_read(kafka.address, NOON, GROUP, TOPIC)
        assert not await has_read(kafka.address, NOON + dt.timedelta(hours=1), GROUP, TOPIC)
    finally:
        await kafka.stop()
