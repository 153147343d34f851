"""`make bench`: how long a start takes, how fast orders go through, what they cost, and what PostgreSQL alone could do."""

import argparse
import asyncio
import tempfile
import time
import uuid
from pathlib import Path

from bench.analytics import counting
from bench.http import Client
from bench.live import watching
from bench.pgbench import transactions_per_second
from bench.placement import Figures, catalogue, load, report, tokens
from bench.relay import relaying
from bench.stack import Stack, running

# who works on what was placed, after the answer: agents that may lag behind for as long as they are not asked
FOLLOWERS = ("inventory", "notification", "analytics")


def main() -> None:
    """Run what is asked for, in a stack of its own in a temporary folder."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="length of the load")
    parser.add_argument("--clients", type=int, default=16, help="customers who order at once")
    parser.add_argument("--scale", default="", help="as of soms up, such as product=2,order=2")
    parser.add_argument("--relay", action="store_true", help="measure the relay alone: delay at 100 orders/s, and draining")
    parser.add_argument("--analytics", action="store_true", help="measure live windows: events/s, a start with many, delay on the stream")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soms-bench-") as folder:
        home = Path(folder)
        if asked.relay:
            with running(home) as stack:
                asyncio.run(relaying(stack, asked.seconds))
            return
        if asked.analytics:
            with running(home) as stack:
                asyncio.run(watching(stack, asked.seconds))
                asyncio.run(counting(stack))
            return
        with running(home) as stack:
            print(f"first start: ready after {stack.ready_seconds:.1f} s, first order after {asyncio.run(first_order(stack)):.1f} s")
        with running(home, *(["--scale", asked.scale] if asked.scale else [])) as stack:
            print(f"second start: ready after {stack.ready_seconds:.1f} s, first order after {asyncio.run(first_order(stack)):.1f} s")
            asyncio.run(placing(stack, asked.clients, asked.seconds))
        with running(home, "--scale", ",".join(f"{name}=0" for name in FOLLOWERS)) as stack:
            report("the same without those that follow", asyncio.run(placing_alone(stack, asked.clients, asked.seconds)))


async def first_order(stack: Stack) -> float:
    """Seconds from the start to the first accepted order, the admin's."""
    start = time.perf_counter()
    async with Client(stack.port) as client:
        password = await asyncio.to_thread((stack.home / "admin-password").read_text)
        _, session = await client.ask("POST", "/auth/login", {"email": "admin@soms.localhost", "password": password.strip()})
        client.token = session["access_token"]
        _, goods = await client.ask("GET", "/products?in_stock=true&limit=1")
        line = {"sku": goods["items"][0]["sku"], "quantity": 1}
        status, answer = await client.ask("POST", "/orders", {"lines": [line]}, uuid.uuid4().hex)
    if status != 201:
        raise SystemExit(f"the first order was refused: {answer}")
    return stack.ready_seconds + time.perf_counter() - start


async def placing(stack: Stack, clients: int, seconds: int) -> None:
    """Placement with one client, with many, and the ratio to pgbench."""
    staff = await asyncio.to_thread(stack.command, "token", "--email", "bench-staff@example.org", "--role", "staff")
    await catalogue(stack, staff)
    customers = await tokens(stack, clients)
    await load(stack, customers[:1], 3)
    report("placement, 1 client", await load(stack, customers[:1], max(seconds // 3, 5)))
    await load(stack, customers, 3)
    figures = await load(stack, customers, seconds)
    report(f"placement, {clients} clients", figures)
    alone = await transactions_per_second(stack, clients, max(seconds // 3, 5))
    print(f"pgbench, {clients} clients, the same two transactions: {alone:,.0f}/s; SOMS : pgbench = {figures.rate / alone:.2f}")


async def placing_alone(stack: Stack, clients: int, seconds: int) -> Figures:
    """Placement with many clients who have ordered before."""
    customers = await tokens(stack, clients)
    await load(stack, customers, 3)
    return await load(stack, customers, seconds)


if __name__ == "__main__":
    main()
