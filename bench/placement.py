"""Orders a second, latency, and CPU per order of a running stack: 3 lines each, over 200 SKUs."""

import asyncio
import os
import random
import statistics
import time
import uuid
from collections import Counter
from typing import NamedTuple

from bench.http import Client
from bench.stack import Stack, cpu_seconds

SKUS = 200
LINES = 3
PASSWORD = "bench-password"  # noqa: S105 - of accounts that live as long as the stack


class Figures(NamedTuple):
    """What a load saw: answers by status, latencies in seconds, CPU milliseconds an order by process."""

    seconds: float
    statuses: Counter[int]
    latencies: list[float]
    cpu: dict[str, float]

    @property
    def rate(self) -> float:
        """Accepted orders a second."""
        return self.statuses[201] / self.seconds

    def percentile(self, share: float) -> float:
        """Latency in milliseconds that `share` of the answers kept."""
        return sorted(self.latencies)[int(len(self.latencies) * share)] * 1000


async def catalogue(stack: Stack, staff: str) -> None:
    """Make goods with plenty of stock."""
    async with Client(stack.port, staff) as client:
        for n in range(SKUS):
            body = {"sku": f"BENCH-{n}", "name": f"Bench {n}", "price": 100 + n, "currency": "GBP", "on_hand": 1_000_000}
            status, answer = await client.ask("POST", "/products", body)
            if status not in {201, 409}:
                raise SystemExit(f"cannot make the catalogue: {answer}")


async def tokens(stack: Stack, clients: int) -> list[str]:
    """Access tokens of so many customers."""
    found = []
    async with Client(stack.port) as client:
        for n in range(clients):
            account = {"email": f"bench-{n}@example.org", "password": PASSWORD}
            await client.ask("POST", "/auth/register", {**account, "name": "Bench"})
            _, answer = await client.ask("POST", "/auth/login", account)
            found.append(answer["access_token"])
    return found


async def load(stack: Stack, customers: list[str], seconds: float) -> Figures:
    """Each customer places orders, one after the other, for so long."""
    before, own, start = cpu_seconds(stack.process.pid), time.process_time(), time.perf_counter()
    statuses: Counter[int] = Counter()
    latencies: list[float] = []
    await asyncio.gather(*(_customer(stack.port, token, start + seconds, statuses, latencies) for token in customers))
    took = time.perf_counter() - start
    after = cpu_seconds(stack.process.pid) | {"bench": time.process_time() - own}
    orders = max(statuses[201], 1)
    cpu = {name: (spent - before.get(name, 0)) * 1000 / orders for name, spent in sorted(after.items())}
    return Figures(took, statuses, latencies, cpu)


async def _customer(port: int, token: str, until: float, statuses: Counter[int], latencies: list[float]) -> None:
    async with Client(port, token) as client:
        while (start := time.perf_counter()) < until:
            skus = random.sample(range(SKUS), LINES)
            body = {"lines": [{"sku": f"BENCH-{n}", "quantity": 1 + n % 3} for n in skus]}
            status, _ = await client.ask("POST", "/orders", body, uuid.uuid4().hex)
            statuses[status] += 1
            latencies.append(time.perf_counter() - start)


def report(title: str, figures: Figures) -> None:
    """Print what a load saw."""
    others = {status: count for status, count in figures.statuses.items() if status != 201}
    latency = f"p50 {figures.percentile(0.5):.1f} ms, p99 {figures.percentile(0.99):.1f} ms"
    print(f"{title}: {figures.rate:,.0f} orders/s, {latency}, other answers: {others or 'none'}")
    each = ", ".join(f"{name} {value:.2f}" for name, value in figures.cpu.items() if value >= 0.005)
    print(f"  CPU ms/order: {each}; in all {sum(figures.cpu.values()):.2f}")
    print(f"  machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; mean {statistics.fmean(figures.latencies) * 1000:.1f} ms")
