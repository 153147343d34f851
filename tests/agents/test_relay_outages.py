"""A broker, a database and a session that go away under a relay, and what happens without an outbox."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client import CollectorRegistry

from soms.agents import relay as module
from soms.agents.process import Vitals
from soms.agents.relay import Figures, Relay, relaying
from soms.config import Settings
from soms.errors import Unavailable
from soms.local.kafka import Kafka
from soms.local.postgres import Postgres
from soms.models.outlet import OUTBOXES

# ends the session that has read what waits and has not yet said what became of it
CUT = """
select pg_terminate_backend(pid) from pg_stat_activity
 where application_name = 'soms-orders-session' and query like '%bytes_before%' and state = 'idle'
"""


async def says(vitals: Vitals, **expected: bool) -> bool:
    """Whether the relay tells of itself what is expected; it is ready where nothing is said."""
    return vitals.states() == dict.fromkeys(OUTBOXES, True) | expected


async def test_the_broker_goes_and_comes(writer: Any, broker: Kafka, stack: Settings, told: Any, eventually: Any) -> None:
    """While it is away the relay says that it is not ready; then all of it goes out without help."""
    async with relaying(stack) as vitals:
        await writer.load(10)
        await writer.drained()
        await broker.stop()
        await writer.load(20, seed=2)
        await eventually(lambda: says(vitals, orders=False), 20)
        await broker.start()
        await writer.drained(30)

    assert await told.all_of(writer)


async def test_the_database_goes_and_comes(writer: Any, server: Postgres, stack: Settings, told: Any, eventually: Any) -> None:
    """Its restart ends every session; the relay takes its turn again."""
    async with relaying(stack) as vitals:
        await writer.load(10)
        await server.stop()
        await eventually(lambda: says(vitals, **dict.fromkeys(OUTBOXES, False)))
        await server.start()
        await writer.load(20, seed=2)
        await writer.drained()

    assert await told.all_of(writer)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that would wait a minute for its broker."""
    monkeypatch.setattr(module, "SEND_SECONDS", 60)


@pytest.mark.usefixtures("patience")
async def test_a_lost_turn_ends_the_sending_at_once(stack: Settings, writer: Any, frozen: Any, ask: Any, eventually: Any) -> None:
    """With a broker that hangs and a session that is cut nothing is marked, and nothing is left that would still send."""
    relay = Relay(stack, "orders", Figures(CollectorRegistry()))
    await writer.write("first")
    await relay.run_once()
    await writer.load(3)
    before = asyncio.all_tasks()
    with frozen():
        beat = asyncio.create_task(relay.run_once())
        await eventually(lambda: ask(CUT))
        with pytest.raises(Unavailable):
            await asyncio.wait_for(beat, 8)
        assert asyncio.all_tasks() <= before

    assert await ask("select count(*) from orders.outbox where published_at is not null") == 1


async def at_once(writer: Any, stack: Settings) -> None:
    """The broken twin: tells Kafka in the transaction, before it is known to end well."""
    async with AIOKafkaProducer(bootstrap_servers=stack.kafka) as producer:
        chance = random.Random(1)
        for number in range(40):
            key, take_back = f"at-once-{number}", chance.random() < 0.3
            await producer.send_and_wait("soms.orders", b'{"version": 1}', key.encode(), headers=[("ce_id", key.encode())])
            if not take_back:
                writer.ids.append(key)


async def by_outbox(writer: Any, stack: Settings) -> None:
    """Ours."""
    async with relaying(stack):
        await writer.load(5)
        await writer.drained()


@pytest.mark.parametrize(("way", "phantoms"), [(by_outbox, False), (at_once, True)])
async def test_only_what_was_committed_is_told(
    writer: Any, stack: Settings, told: Any, way: Callable[[Any, Settings], Awaitable[None]], *, phantoms: bool
) -> None:
    """Telling before the commit tells of changes that never were."""
    await way(writer, stack)

    assert bool(set(await told.ids()) - set(writer.ids)) == phantoms
