"""History on a real broker and a real database: all that was told, once, whatever stops; and made anew beside it."""

import asyncio
import random
import time
import uuid
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from soms.agents import topics
from soms.agents.history import History
from soms.agents.rebuilding import rebuild
from soms.config import Settings
from soms.errors import Aborted
from soms.events import OrderEvent
from soms.models import history_copy
from soms.models.database import fetch, transaction
from soms.models.history_projection import Projection

FACTS = "select f::text as row from order_fact f order by order_id"
LINES = "select f::text as row from line_fact f order by order_id, position"


def running(shop: Any) -> History:
    """A consumer of the shop's topic."""
    return History(shop.settings, shop.topic, f"{shop.name}.history", shop.name)


async def facts() -> list[str]:
    """All rows of history."""
    return [row["row"] for statement in (FACTS, LINES) for row in await fetch("analytics", statement)]


async def truth(settings: Settings, events: list[OrderEvent]) -> list[str]:
    """What history should be, computed in a transaction that leaves nothing."""
    found: list[str] = []
    with pytest.raises(ZeroDivisionError):
        async with transaction("analytics"):
            for table in ("order_fact", "line_fact"):
                await fetch("analytics", f"delete from {table}")
            await Projection(settings).write("analytics", events)
            found += await facts()
            raise ZeroDivisionError
    return found


def lives(shop: Any, number: int) -> list[OrderEvent]:
    """Orders of the last month, every third one called off, out of order."""
    orders = [shop.order(time.time() - shop.chance.random() * 2_592_000) for _ in range(number)]
    events = [*orders, *(shop.cancelled(order, time.time()) for order in orders[::3])]
    random.Random(3).shuffle(events)
    return events


async def has(number: int) -> bool:
    """Whether so many events were received."""
    [row] = await fetch("analytics", "select count(*) from inbox")
    return bool(row["count"] >= number)


async def test_all_that_was_told(database: None, shop: Any, until: Any) -> None:
    """Late, mixed and repeated events, and a consumer in the middle of it for another: history is the truth; what nobody can read waits."""
    events = lives(shop, 120)
    await shop.tell(*events[:100])
    first = running(shop)
    async with first.pulse.running(3):
        await until(lambda: has(50))
    await shop.tell(*events[50:])
    async with AIOKafkaProducer(bootstrap_servers=shop.settings.kafka) as producer:
        await producer.send_and_wait(shop.topic, b"{", b"key")
    async with running(shop).pulse.running(3):
        await until(lambda: has(len(events)))
        letter = await dead(shop)
    assert await facts() == await truth(shop.settings, events)
    assert letter.value == b"{"
    assert (b"unreadable", shop.topic.encode()) == (dict(letter.headers)["dlq_reason"], dict(letter.headers)["dlq_topic"])


async def test_a_database_that_is_away(database: None, shop: Any, until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was read while it was away is projected when it is back, without another word of Kafka."""
    events = lives(shop, 30)
    await shop.tell(*events)
    history, away = running(shop), [True]
    project = Projection.project

    async def projecting(self: Projection, envelopes: Any) -> Any:
        if away[0]:
            raise ConnectionError("away")
        return await project(self, envelopes)

    monkeypatch.setattr(Projection, "project", projecting)
    async with history.pulse.running(3):
        await until(lambda: history.pulse.failures > 1)
        away.clear()
        away.append(False)
        await until(lambda: has(len(events)))
    assert await facts() == await truth(shop.settings, events)


async def test_rebuilt_while_it_goes_on(database: None, shop: Any, until: Any) -> None:
    """Rows that were changed, lost or made up are right again, and nothing that came meanwhile is missing or counted twice."""
    events = lives(shop, 300)
    await shop.tell(*events[:200])
    async with running(shop).pulse.running(3):
        await until(lambda: has(200))
        await fetch("analytics", "update order_fact set total = total + 1, version = 99")
        await fetch("analytics", "delete from line_fact where position = 2")
        await fetch(
            "analytics",
            "insert into order_fact select (json_populate_record(f, $1)).* from order_fact f limit 1",
            f'{{"order_id": "{uuid.uuid4()}"}}',
        )

        async def telling() -> None:
            for start in range(200, len(events), 5):
                await shop.tell(*events[start : start + 5])

        _, done = await asyncio.gather(telling(), rebuild(shop.settings, topic=shop.topic))
        assert done.records >= 200
        assert done.unreadable == 0
        await until(lambda: has(len(events)))
    assert await facts() == await truth(shop.settings, events)
    again = await rebuild(shop.settings, topic=shop.topic)
    assert again.records == len(events)
    assert await facts() == await truth(shop.settings, events)


async def test_a_rebuild_that_breaks_off(database: None, shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves history as it was and no copy behind; two at once are refused."""
    await shop.tell(*(events := lives(shop, 5)))
    await Projection(shop.settings).write("analytics", events)
    before = await facts()
    async with history_copy.copied(shop.settings):
        with pytest.raises(Aborted):
            await rebuild(shop.settings, topic=shop.topic)
    assert await facts() == before
    [row] = await fetch("analytics", "select to_regnamespace('analytics_shadow') is null as gone")
    assert row["gone"]


async def dead(shop: Any) -> Any:
    """The dead letter of the shop."""
    letters = topics.dead_letters(shop.name)
    async with (
        AIOKafkaConsumer(letters, bootstrap_servers=shop.settings.kafka, auto_offset_reset="earliest") as consumer,
        asyncio.timeout(20),
    ):
        return await consumer.getone()
