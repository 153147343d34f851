"""What is committed, of what a fetch has brought."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP, Message

from soms.agents.strict import StrictConsumer

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
