"""Live figures of a running stack: how soon readers of the stream hear of an order, and what many readers cost."""

import asyncio
import contextlib
import random
import statistics
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import aiohttp
import orjson

from bench.http import Client
from bench.placement import LINES, SKUS, catalogue, tokens
from bench.stack import Stack

RATE: Final = 50
CLIENTS: Final = 16
READERS: Final = 200
Heard = list[tuple[float, int]]


async def watching(stack: Stack, seconds: int) -> None:
    """The delay with one reader, then with many."""
    staff = await asyncio.to_thread(stack.command, "token", "--email", "bench-staff@example.org", "--role", "staff")
    await catalogue(stack, staff)
    customers = await tokens(stack, CLIENTS)
    for readers, goal in ((1, 1.0), (READERS, 1.5)):
        before = memory("soms.agents.analytics", stack), memory("soms.web", stack)
        delays = await told(stack, staff, customers, readers, seconds)
        after = memory("soms.agents.analytics", stack), memory("soms.web", stack)
        p50, p95 = statistics.median(delays), delays[int(len(delays) * 0.95)]
        print(f"order answered -> on the stream, {readers} readers, {RATE}/s: p50 {p50:.2f} s, p95 {p95:.2f} s (goal {goal} s)")
        print(f"  RSS MiB of analytics {before[0]} -> {after[0]}, of the gateway {before[1]} -> {after[1]}")


async def told(stack: Stack, staff: str, customers: list[str], readers: int, seconds: int) -> list[float]:
    """Seconds from each answer to the first document with as many orders, for the slowest of some readers; sorted."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None)) as session:
        heard: list[Heard] = [[] for _ in range(readers)]
        reading = [asyncio.create_task(_read(session, stack.port, staff, one)) for one in heard]
        async with asyncio.timeout(30):
            while not all(heard):  # noqa: ASYNC110 - they come from elsewhere
                await asyncio.sleep(0.05)
        base = max(orders for one in heard for _, orders in one)
        answered: list[float] = []
        start, numbers = time.perf_counter(), iter(range(RATE * seconds))
        await asyncio.gather(*(_customer(stack.port, token, start, numbers, answered) for token in customers))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(15):
                while not all(one[-1][1] >= base + len(answered) for one in heard):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        for task in reading:
            task.cancel()
    slowest = max(heard, key=lambda one: sum(_delays(one, answered, base)))
    return sorted(_delays(slowest, answered, base))


def _delays(heard: Heard, answered: list[float], base: int) -> list[float]:
    found, rest = [], iter(heard)
    at, orders = next(rest)
    for n, moment in enumerate(sorted(answered), 1):
        while orders < base + n:
            at, orders = next(rest, (moment + 60, base + len(answered)))
        found.append(max(0.0, at - moment))
    return found


async def _read(session: aiohttp.ClientSession, port: int, token: str, heard: Heard) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with session.get(f"http://127.0.0.1:{port}/api/v1/analytics/stream", headers=headers) as answer:
        answer.raise_for_status()
        while piece := await answer.content.readuntil(b"\n\n"):
            if b"\ndata: " in piece:
                heard.append((time.perf_counter(), orjson.loads(piece.split(b"\ndata: ")[1])["totals"]["today"]["orders"]))


async def _customer(port: int, token: str, start: float, numbers: Iterator[int], answered: list[float]) -> None:
    async with Client(port, token) as client:
        for number in numbers:
            await asyncio.sleep(max(0.0, start + number / RATE - time.perf_counter()))
            lines = [{"sku": f"BENCH-{n}", "quantity": 1} for n in random.sample(range(SKUS), LINES)]
            status, _ = await client.ask("POST", "/orders", {"lines": lines}, uuid.uuid4().hex)
            if status == 201:
                answered.append(time.perf_counter())


def memory(module: str, stack: Stack) -> int:
    """MiB that the processes of a module hold."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_text().split("\0")
            if module in words and str(stack.home.resolve()) in (folder / "environ").read_text():
                total += int((folder / "statm").read_text().split()[1]) * 4096 >> 20
    return total
