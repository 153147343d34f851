"""Rebuilding history: all of the orders' topic into a copy, beside the projection that goes on. Knows no command line."""

import contextlib
from collections.abc import Callable
from typing import Final, NamedTuple

from aiokafka.structs import ConsumerRecord

from soms.agents.history import MOST, readable
from soms.agents.tail import follow
from soms.config import Settings
from soms.events import OrderEvent
from soms.models.history_copy import copied
from soms.models.history_projection import Projection

TELL_EVERY: Final = 10_000


class Rebuilt(NamedTuple):
    """How many records were read, and how many of them nobody can read."""

    records: int
    unreadable: int


async def rebuild(settings: Settings, told: Callable[[int], None] = lambda _: None, topic: str = OrderEvent.topic) -> Rebuilt:
    """Read `topic` from its beginning and put what it tells in the place of history; `told` hears how far it is.

    The end of the topic is looked up once the copy is there: whatever is written later goes into both by the projection, which
    sees the copy from then on. Raises Aborted beside another rebuild, Unavailable without Kafka or PostgreSQL: then all is as before.
    """
    projection, batch, count, bad = Projection(settings), list[ConsumerRecord](), 0, 0
    async with copied(settings) as copy, contextlib.aclosing(follow(settings, [topic], from_start=True, to_end=True)) as records:
        async for record in records:
            batch.append(record)
            count += 1
            if len(batch) == MOST:
                bad += await _write(projection, batch)
                batch = []
            if not count % TELL_EVERY:
                told(count)
        bad += await _write(projection, batch)
        await copy.swap()
    return Rebuilt(count, bad)


async def _write(projection: Projection, records: list[ConsumerRecord]) -> int:
    """How many of them cannot be read, or are refused."""
    _, envelopes, bad = readable(records)
    return len(bad) + sum(refusal is not None for refusal in await projection.copy(envelopes))
