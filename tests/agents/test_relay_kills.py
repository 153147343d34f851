"""Relays that are killed, stopped and frozen under load: every committed event arrives, in order per key."""

import asyncio
import os
import signal
from typing import Any

import pytest

from soms.local.kafka import Kafka
from soms.models.outlet import TURN

KILLS = 5
WAITS = "select 1 from outbox where published_at is null limit 1"
MARKED = "select 1 from outbox where published_at is not null limit 1"
HELD = f"select 1 from pg_locks where locktype = 'advisory' and classid = {TURN} and granted limit 1"
MARKS_FIRST = """
from soms.agents import relay

async def page(self, rows):
    await self._outlet.published([row["id"] for row in rows])
    await self._send(rows, relay.Outcome())

relay.Relay._page = page
relay.serve("relay", relay.relaying)
"""


async def at_work(told: Any, writer: Any) -> None:
    """Wait for a relay."""
    await writer.write("first")
    await told.until(1, 20)


async def test_relays_are_killed(writer: Any, frozen: Any, told: Any, start: Any) -> None:
    """Two relays; five times under load the active one is killed with what it sent still on its way, and arriving late.

    0 missing, 0 phantoms, and no event of a key arrives before an earlier one.
    """
    relays = [await start("relay")]
    await at_work(told, writer)
    relays.append(await start("relay"))
    killed = asyncio.Event()

    async def under_load() -> None:
        seed = 0
        while not killed.is_set():
            await writer.load(10, seed := seed + 1)

    writing = asyncio.create_task(under_load())
    for _ in range(KILLS):
        await told.until(len(await told.records()) + 50, 20)
        with frozen():
            await writer.sees(WAITS)
            relays[0].process.kill()
            await relays.pop(0).wait()
        relays.append(await start("relay"))
    killed.set()
    await writing
    await writer.drained()

    assert await told.all_of(writer)


@pytest.mark.parametrize("twin", [None, MARKS_FIRST])
async def test_killed_while_the_broker_is_away(broker: Kafka, writer: Any, told: Any, start: Any, twin: str | None) -> None:
    """What was not acknowledged is not marked, so the next relay sends it; a relay that marks first loses it."""
    await broker.stop()
    await writer.load(5)
    killed = await start("relay", twin)
    await writer.sees(MARKED if twin else HELD)
    killed.process.kill()
    await killed.wait()
    await broker.start()
    await start("relay")
    await writer.drained()

    assert await told.all_of(writer) == (not twin)


async def test_a_relay_leaves_without_repeating(writer: Any, told: Any, start: Any) -> None:
    """Told to stop amid a backlog it marks what it sent, ends with 0, and the next one goes on: nothing arrives twice."""
    await writer.load(100)
    leaving = await start("relay")
    await writer.sees(MARKED)
    await writer.load(20, seed=2)
    leaving.process.terminate()
    code = await leaving.wait()
    await start("relay")
    await writer.drained()

    assert code == 0
    assert sorted(await told.ids()) == sorted(writer.ids)


async def test_a_frozen_relay_loses_its_turn(writer: Any, told: Any, start: Any) -> None:
    """Frozen for longer than the server waits, it is replaced; thawed, it does no harm."""
    slow = await start("relay")
    await at_work(told, writer)
    await start("relay")
    await writer.load(10)
    os.kill(slow.process.pid, signal.SIGSTOP)
    await writer.load(10, seed=2)
    await writer.drained(30)
    os.kill(slow.process.pid, signal.SIGCONT)
    await writer.load(10, seed=3)
    await writer.drained()

    assert await told.all_of(writer)
