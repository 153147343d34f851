"""Live windows alone, on the broker of a running stack: events a second beside stock Faust, and a start with many windows."""

import asyncio
import contextlib
import datetime as dt
import os
import random
import sys
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from bench.stack import Stack, cpu_seconds, environment
from soms import envelope
from soms.agents import topics
from soms.agents.lag import places
from soms.config import Settings
from soms.events import EventLine, OrderPlaced

# enough that what is done and not yet committed, a second's worth, weighs little
EVENTS: Final = {"stock": 60_000, "ours": 300_000}
KEYS: Final = 200_000
SKUS: Final = 200
PATIENCE_SECONDS: Final = 240


async def counting(stack: Stack) -> None:
    """Measure both; prints as it goes."""
    settings = Settings(home=stack.home)
    stock, ours = await counted(settings, stack, "stock"), await counted(settings, stack, "ours")
    print(f"SOMS : stock Faust = {ours / stock:.1f} by CPU (goal 3)")
    print(f"start with {KEYS:,} window keys: ready after {await restarted(settings, stack):.1f} s (goal 15)")


async def counted(settings: Settings, stack: Stack, kind: str) -> float:
    """Events a second of CPU of one process that works off a backlog."""
    group = await provided(settings, kind)
    await fed(settings, group, EVENTS[kind])
    async with process(stack, kind, group) as pid:
        first = await until(settings, group, 1)
        began, spent = time.perf_counter(), cpu(pid)
        done = await until(settings, group, EVENTS[kind]) - first
        took, used = time.perf_counter() - began, max(cpu(pid) - spent, 0.01)
    goal = " (goal 5,000)" if kind == "ours" else ""
    print(f"{kind}: {done / took:,.0f} events/s by the clock, {done / used:,.0f} a second of CPU{goal}")
    return done / used


async def restarted(settings: Settings, stack: Stack) -> float:
    """Seconds from the start of a process to its readiness, with so many windows to read back."""
    group = await provided(settings, "ours", "minutes", "hours")
    now = time.time() // 60 * 60
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka, linger_ms=20, max_batch_size=1 << 18) as producer:
        for n in range(KEYS):
            start = now - 60 * (n // 12 % 1440)
            key = orjson.dumps([f"bench-{n // 12 // 1440}|{n % 12}", [start, start + 59.9]])
            value = orjson.dumps({"o": n, "each": {"all": {"orders": 1, "units": 2, "revenue": {"GBP": 100}}}})
            await producer.send(f"{group}-minutes-changelog", value, key=key, partition=n % 12)
    began = time.perf_counter()
    async with process(stack, "ours", group):
        log = stack.home / f"{group}.log"
        while b'"working"' not in await asyncio.to_thread(log.read_bytes):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.05)
        return time.perf_counter() - began


async def provided(settings: Settings, kind: str, *tables: str) -> str:
    """A group with its topics."""
    group = f"bench-{kind}-{uuid.uuid4().hex[:6]}"
    names = [f"{group}.orders", topics.dead_letters(group), *(f"{group}-{table}-changelog" for table in tables)]
    async with topics.administration(str(settings.kafka)) as admin:
        await admin.create_topics([NewTopic(name, topics.PARTITIONS, 1) for name in names])
    await topics.wait_for(settings, names)
    return group


async def fed(settings: Settings, group: str, number: int) -> None:
    """So many orders of three lines, placed now."""
    chance = random.Random(1)
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka, linger_ms=20, max_batch_size=1 << 18) as producer:
        for n in range(number):
            now = dt.datetime.now(dt.UTC)
            lines = [EventLine(sku=f"S-{k}", name="Thing", quantity=1, unit_price=k) for k in chance.sample(range(SKUS), 3)]
            order = OrderPlaced(
                version=1, order_id=uuid.uuid4(), number=str(n), status="placed", user_id=None, email="a@example.org",
                currency="GBP", total=sum(line.unit_price for line in lines), lines=lines, placed_at=now, at=now,
            )  # fmt: skip
            headers = envelope.headers(uuid.uuid4(), order.type, "/bench", now)
            await producer.send(f"{group}.orders", order.payload.encode(), key=order.key.encode(), headers=headers)


async def until(settings: Settings, group: str, number: int) -> int:
    """How many events are committed, once there are so many."""
    wanted = [(f"{group}.orders", partition) for partition in range(topics.PARTITIONS)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (done := sum(place.committed for place in (await places(str(settings.kafka), group, wanted)).values())) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    return done


@contextlib.asynccontextmanager
async def process(stack: Stack, kind: str, group: str) -> AsyncIterator[int]:
    """One process that counts; what it says is in a log of the stack's folder."""
    variables = environment(stack.home, stack.port) | {"PYTHONPATH": str(Path(__file__).parents[1])}
    with (stack.home / f"{group}.log").open("wb") as log:
        command = (sys.executable, "-m", "bench.counter", kind, group)
        started = await asyncio.create_subprocess_exec(*command, env=os.environ | variables, stdout=log, stderr=log)
    try:
        yield started.pid
    finally:
        started.kill()
        await started.wait()


def cpu(pid: int) -> float:
    """CPU seconds so far."""
    return sum(cpu_seconds(pid).values())
