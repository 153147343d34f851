"""The relay of a running stack: how long after its commit an order is in the topic, and how fast a backlog drains."""

import asyncio
import contextlib
import json
import random
import time
import uuid
from collections.abc import AsyncIterator, Iterator

import asyncpg
from aiokafka import AIOKafkaConsumer

from bench.http import Client
from bench.placement import LINES, SKUS, catalogue, tokens
from bench.stack import Stack, cpu_seconds
from soms.config import Settings

RATE = 100
CLIENTS = 16
BACKLOG = 30_000
FILL = """
insert into orders.outbox (type, topic, key, payload)
select 'soms.bench.v1', 'soms.orders', gen_random_uuid()::text, $2 from generate_series(1, $1)
"""
LEFT = "select count(*) from orders.outbox where published_at is null"
LAST = "select extract(epoch from max(published_at))::float from orders.outbox"


async def relaying(stack: Stack, seconds: int) -> None:
    """Print both figures."""
    staff = await asyncio.to_thread(stack.command, "token", "--email", "bench-staff@example.org", "--role", "staff")
    await catalogue(stack, staff)
    customers = await tokens(stack, CLIENTS)
    await paced(stack, customers, 3)
    before = cpu_seconds(stack.process.pid)
    delays = sorted(await paced(stack, customers, seconds))
    spent = (cpu_seconds(stack.process.pid)["relay"] - before["relay"]) * 1000 / len(delays)
    p50, p99 = (delays[int(len(delays) * share)] * 1000 for share in (0.5, 0.99))
    print(f"commit to topic at {RATE} orders/s, {len(delays)} orders: p50 {p50:.0f} ms, p99 {p99:.0f} ms, most {delays[-1] * 1000:.0f} ms")
    print(f"  CPU ms/event of the relay: {spent:.2f}")
    print(f"backlog of {BACKLOG:,} events: {await drained(stack):,.0f}/s")


async def paced(stack: Stack, customers: list[str], seconds: int) -> list[float]:
    """Seconds from each answer to its event, with `RATE` orders a second."""
    answered: dict[str, float] = {}
    async with arrivals(stack) as arrived:
        start, numbers = time.perf_counter(), iter(range(RATE * seconds))
        await asyncio.gather(*(_customer(stack.port, token, start, numbers, answered) for token in customers))
        async with asyncio.timeout(30):
            while not answered.keys() <= arrived.keys():  # noqa: ASYNC110 - they come from elsewhere
                await asyncio.sleep(0.05)
    return [max(0.0, arrived[order] - at) for order, at in answered.items()]


async def _customer(port: int, token: str, start: float, numbers: Iterator[int], answered: dict[str, float]) -> None:
    async with Client(port, token) as client:
        for number in numbers:
            await asyncio.sleep(start + number / RATE - time.perf_counter())
            lines = [{"sku": f"BENCH-{n}", "quantity": 1} for n in random.sample(range(SKUS), LINES)]
            status, order = await client.ask("POST", "/orders", {"lines": lines}, uuid.uuid4().hex)
            if status == 201:
                answered[order["id"]] = time.perf_counter()


@contextlib.asynccontextmanager
async def arrivals(stack: Stack) -> AsyncIterator[dict[str, float]]:
    """By key, when its first event was read from the topic of orders."""
    arrived: dict[str, float] = {}
    consumer = AIOKafkaConsumer("soms.orders", bootstrap_servers=Settings(home=stack.home).kafka, enable_auto_commit=False)

    async def read() -> None:
        async for record in consumer:
            arrived.setdefault(record.key.decode(), time.perf_counter())

    await consumer.start()
    await consumer.seek_to_end()
    reading = asyncio.create_task(read())
    try:
        yield arrived
    finally:
        reading.cancel()
        await consumer.stop()


async def drained(stack: Stack) -> float:
    """Events a second that leave a backlog committed at once, until the last is marked."""
    owner = await asyncpg.connect(Settings(home=stack.home).postgres)
    payload = json.dumps({"version": 1, "filler": "x" * 700})
    await owner.execute(FILL, BACKLOG, payload)
    start = await owner.fetchval("select extract(epoch from clock_timestamp())::float")
    while await owner.fetchval(LEFT):  # noqa: ASYNC110 - the relay is another process
        await asyncio.sleep(0.1)
    took = await owner.fetchval(LAST) - start
    await owner.close()
    return BACKLOG / took
