"""The inbox on a real database: once, whatever comes in between, and in one transaction with its effect."""

import asyncio
import datetime as dt
import hashlib
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest

from soms.envelope import Envelope
from soms.errors import InvalidArgument
from soms.models.database import fetch, transaction
from soms.models.inbox import once_per_event, receive

NOTE = "insert into price (sku, price, currency) values ('a', 1, 'GBP')"


def envelope(value: bytes = b"{}", event_id: UUID | None = None) -> Envelope:
    """A record."""
    moment = dt.datetime.now(dt.UTC)
    return Envelope(event_id or uuid4(), "soms.order.placed.v1", moment, "key", hashlib.sha256(value).digest())


async def note() -> None:
    """An effect that can be counted."""
    await fetch("products", NOTE)


async def noted() -> int:
    """How often it took place."""
    [row] = await fetch("products", "select count(*) from price")
    return int(row["count"])


async def naive(event: Envelope, effect: Callable[[], Awaitable[None]]) -> None:
    """The broken twin: looks first, then acts, each on its own."""
    if not await fetch("products", "select 1 from inbox where event_id = $1", event.id):
        await effect()
        await fetch("products", "insert into inbox (consumer, event_id, digest) values ('twin', $1, '') on conflict do nothing", event.id)


async def test_an_event_takes_effect_once(database: None) -> None:
    """The second delivery does nothing and says so; another consumer has its own first."""
    event = envelope()

    assert await once_per_event("products", "inventory", event, note) is True
    assert await once_per_event("products", "inventory", event, note) is False
    assert await once_per_event("products", "other", event, note) is True
    assert await noted() == 2


async def test_rivals_wait_for_each_other(database: None) -> None:
    """Eight deliveries at once: one takes effect; looking first and acting later lets several through."""
    event, other = envelope(), envelope()
    new = await asyncio.gather(*(once_per_event("products", "inventory", event, note) for _ in range(8)))

    assert sorted(new) == [False] * 7 + [True]
    assert await noted() == 1
    await asyncio.gather(*(naive(other, note) for _ in range(8)))
    assert await noted() > 2


async def test_a_failed_effect_is_not_received(database: None) -> None:
    """What was written before the failure is gone, and the next delivery takes effect."""
    event = envelope()

    async def fail() -> None:
        await note()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await once_per_event("products", "inventory", event, fail)
    assert await noted() == 0
    assert await once_per_event("products", "inventory", event, note) is True


async def test_an_id_belongs_to_one_value(database: None) -> None:
    """The same id with another value is refused, so that it ends among the dead letters."""
    event = envelope(b"1")
    await once_per_event("products", "inventory", event, note)

    with pytest.raises(InvalidArgument) as refused:
        await once_per_event("products", "inventory", envelope(b"2", event.id), note)
    assert refused.value.reason == "event_id_reused"
    assert await noted() == 1


async def test_a_batch_is_received_one_by_one(database: None) -> None:
    """Each event of a batch is told of on its own: new, received before, a copy in the same batch, or an id that is another's."""
    first, second = envelope(b"1"), envelope(b"2")
    await once_per_event("products", "inventory", first, note)
    async with transaction("products"):
        told = await receive("products", "inventory", [first, second, second, envelope(b"3", first.id), envelope(b"4", second.id)])

    assert told[:3] == [False, True, False]
    assert [one.reason for one in told[3:] if isinstance(one, InvalidArgument)] == ["event_id_reused"] * 2


async def test_batches_that_overlap_wait_for_each_other(database: None) -> None:
    """Two batches with the same events the other way round: no deadlock, and each event is new to one of them alone."""
    events = [envelope() for _ in range(20)]

    async def batch(order: list[Envelope]) -> list[bool | InvalidArgument]:
        async with transaction("products"):
            return await receive("products", "inventory", order)

    batches = await asyncio.gather(*(batch(events[::step]) for step in (1, -1) * 3))

    assert sum(told is True for told in [one for batch in batches for one in batch]) == 20
