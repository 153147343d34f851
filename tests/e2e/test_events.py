"""Orders on the running stack, as Kafka hears of them."""

import asyncio
import json
import signal
import sys
from typing import Any

import aiohttp

LINES = {"lines": [{"sku": "PEN-FINE", "quantity": 1}]}


async def soms(stack: Any, *arguments: str) -> str:
    """What a command prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "soms", *arguments), env=stack.environment, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode()


async def told(stack: Any, order_id: str) -> list[str]:
    """The types of the events of an order, in order."""
    lines = await soms(stack, "events", "tail", "--order", order_id, "--from-start", "--to-end", "--json")
    return [json.loads(line)["type"] for line in lines.splitlines()]


async def test_an_order_is_heard_of(stack: Any) -> None:
    """Placed over REST and cancelled: two events of its key in order, and then nothing waits."""
    ann = await stack.client("events-ann@example.org")
    order = (await ann("POST", "orders", LINES, Idempotency_Key="a")).body
    await ann("POST", f"orders/{order['id']}/cancel", {"reason": "too slow"})

    async def heard() -> bool:
        return await told(stack, order["id"]) == ["soms.order.placed.v1", "soms.order.cancelled.v1"]

    await stack.until(heard)
    assert [line.split()[1:3] for line in (await soms(stack, "outbox", "status")).splitlines()[1:]] == [["0", "-"]] * 4


async def test_a_killed_relay_comes_back(stack: Any) -> None:
    """Registered, ready, killed, started again by the supervisor; what was ordered meanwhile is heard of."""
    await stack.until(lambda: stack.up("relay"))
    ann = await stack.client("events-ann@example.org")
    stack.kill("relay", signal.SIGKILL)
    order = (await ann("POST", "orders", LINES, Idempotency_Key="b")).body

    async def heard() -> bool:
        return await told(stack, order["id"]) == ["soms.order.placed.v1"]

    await stack.until(heard, 30)


async def test_two_relays_share_the_work(stack: Any) -> None:
    """A second one started by hand registers beside the first and says that it is ready, though it only waits."""
    async with stack.another("relay"):
        await stack.until(lambda: _registered(stack, 2))


async def _registered(stack: Any, number: int) -> bool:
    address = f"{stack.engine('eureka')['url']}/apps/RELAY-SERVICE"
    async with aiohttp.ClientSession(headers={"Accept": "application/json"}) as http, http.get(address) as answer:
        instances = (await answer.json())["application"]["instance"] if answer.status == 200 else []
        ready = []
        for one in instances:
            if one["status"] == "UP":
                async with http.get(f"http://{one['hostName']}:{one['port']['$']}/readyz") as health:
                    ready.append(health.status == 200)
    return len(ready) == number and all(ready)
