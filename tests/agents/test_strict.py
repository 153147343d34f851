"""What is committed, of what a fetch has brought."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP, Message

from soms.agents.strict import Batch, StrictConsumer

PLACE = TP("orders", 4)


@pytest.fixture
def delivered() -> list[int]:
    """The offsets that a handler may see."""
    return []


@pytest.fixture
def consumer(delivered: list[int]) -> StrictConsumer:
    """A consumer without a broker, whose flow is active."""

    async def deliver(message: Message) -> None:
        delivered.append(message.offset)

    made = StrictConsumer.__new__(StrictConsumer)
    made.app = cast("Any", SimpleNamespace(topics=SimpleNamespace(acks_enabled_for=lambda _: True)))
    made.flow_active = True
    made._deliver, made._unfinished, made._next = deliver, {}, {}
    made._in_hand, made._idle = set(), asyncio.Event()
    return made


async def test_what_a_rebalance_overtakes_is_not_committed(consumer: StrictConsumer, delivered: list[int]) -> None:
    """What was fetched before a rebalance and comes in it counts for nothing: what lay before it is void, and would be lost."""
    for offset in (150, 151, 152):
        if offset == 152:
            consumer.flow_active = False
            consumer._unfinished.clear()
            consumer._next.clear()
        await consumer._track(cast("Any", SimpleNamespace(tp=PLACE, topic=PLACE.topic, offset=offset)))

    assert delivered == [150, 151]
    assert consumer._new_offset(PLACE) is None


async def test_a_batch_is_committed_as_a_whole(consumer: StrictConsumer) -> None:
    """Up to its first record as long as it is under way, then behind its last."""
    records = [cast("Any", SimpleNamespace(offset=offset, timestamp=0, timestamp_type=0)) for offset in (7, 8, 11)]
    batch = Batch(PLACE, records, 1)
    await consumer._track(batch)
    before = consumer._new_offset(PLACE)
    consumer.finish(batch)

    assert (before, consumer._new_offset(PLACE)) == (7, 12)
