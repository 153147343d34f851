"""A topic that lost everything is filled again from the outbox, while the relay works."""

from typing import Any

from soms.agents import topics
from soms.agents.relay import relaying
from soms.config import Settings
from soms.local.kafka import Kafka
from soms.models.backlog import Choice, redrive


async def test_a_lost_topic_is_filled_again(stack: Settings, broker: Kafka, writer: Any, told: Any, eventually: Any) -> None:
    """After its deletion and a redrive, each event is there again, in order per key, and new ones go on behind them."""
    async with relaying(stack), topics.administration(broker.address) as admin:
        await writer.load(10)
        await writer.drained()
        await admin.delete_topics(["soms.orders"])

        async def gone() -> bool:
            return "soms.orders" not in await admin.list_topics()

        await eventually(gone)
        await redrive("orders", Choice(topic="soms.orders"))
        await writer.write("1-0")
        await topics.provide(stack)
        await writer.load(5, seed=2)
        await writer.drained(30)
        told.since = {}

    assert await told.all_of(writer)
