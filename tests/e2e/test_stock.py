"""Stock follows orders, whatever is away or dies meanwhile: over REST, through outbox, relay, Kafka and the inventory agent."""

import asyncio
import contextlib
import itertools
import signal
import time
import uuid
from typing import Any, Self

import pytest

ON_HAND = 100_000
PIECES = 3
AWAY_SECONDS = 20
CUSTOMERS = 4
# ways of an order, and what each leaves: pieces gone, pieces reserved
WAYS: list[tuple[list[tuple[str, str, Any]], int, int]] = [
    ([], 0, PIECES),
    ([("customer", "cancel", None)], 0, 0),
    ([("customer", "pay", None), ("customer", "cancel", None)], 0, 0),
    ([("customer", "pay", None), ("staff", "ship", None), ("staff", "deliver", None)], PIECES, 0),
    ([("customer", "pay", None), ("staff", "ship", None), ("staff", "deliver", None), ("staff", "return", 1)], PIECES - 1, 0),
    ([("customer", "pay", None), ("staff", "ship", None), ("staff", "deliver", None), ("staff", "return", None)], 0, 0),
]
LEDGER = "select sum(delta) as sum, (array_agg(on_hand order by id desc))[1] as last from products.movement where sku = $1"
STOCK = "select on_hand, reserved from products.stock where sku = $1"
HELD = """
select count(*) as n from products.reservation join products.reservation_line using (order_id) where sku = $1 and state = 'HELD'
"""


class Shop:
    """Customers whose orders go all ways, one after the other; each answer is right at once, whatever becomes of stock."""

    def __init__(self, stack: Any) -> None:
        self.stack, self.sku = stack, f"STOCK-{uuid.uuid4().hex[:12]}"
        self.gone = self.reserved = self.orders = 0
        self.stopping = False

    async def __aenter__(self) -> Self:
        """Begin."""
        self.staff = await self.stack.client("stock-staff@example.org", "staff")
        product = {"sku": self.sku, "name": "Followed", "price": 500, "currency": "GBP", "on_hand": ON_HAND}
        assert (await self.staff("POST", "products", product)).status == 201
        clients = [await self.stack.client(f"stock-{n}@example.org") for n in range(CUSTOMERS)]
        self.tasks = [asyncio.create_task(self.customer(client)) for client in clients]
        return self

    async def __aexit__(self, *error: object) -> None:
        """End with whole orders."""
        self.stopping = True
        await asyncio.gather(*self.tasks)

    async def customer(self, client: Any) -> None:
        """Order after order."""
        for steps, gone, reserved in itertools.cycle(WAYS):
            if self.stopping:
                break
            body = {"lines": [{"sku": self.sku, "quantity": PIECES}]}
            order = await client("POST", "orders", body, Idempotency_Key=uuid.uuid4().hex)
            assert order.status == 201, order
            for who, step, number in steps:
                told = {"lines": [{"sku": self.sku, "quantity": number}]} if number else None
                answer = await (self.staff if who == "staff" else client)("POST", f"orders/{order.body['id']}/{step}", told)
                assert answer.status == 200, answer
            self.gone, self.reserved, self.orders = self.gone + gone, self.reserved + reserved, self.orders + 1

    async def more(self, number: int, seconds: float = 30) -> None:
        """Wait for so many more orders."""
        goal = self.orders + number
        await self.stack.until(lambda: self.orders >= goal or any(task.done() for task in self.tasks), seconds)

    async def right(self) -> bool:
        """Whether stock is where all orders stand, by its rows and by its ledger."""
        (now,) = await self.stack.rows(STOCK, self.sku)
        (ledger,) = await self.stack.rows(LEDGER, self.sku)
        (held,) = await self.stack.rows(HELD, self.sku)
        expected = ON_HAND - self.gone
        return (now["on_hand"], now["reserved"], held["n"], ledger["sum"], ledger["last"]) == (
            expected,
            self.reserved,
            0,
            expected,
            expected,
        )


async def test_stock_follows_within_a_second(stack: Any) -> None:
    """Right after orders were placed, paid, sent off, taken back or called off, it is right: in seconds, however busy the machine."""
    async with Shop(stack) as shop:
        await shop.more(60)
    began = time.monotonic()
    await stack.until(shop.right)

    assert time.monotonic() - began < 3


async def test_orders_go_on_without_the_broker(stack: Any) -> None:
    """Kafka hangs for 20 s, and is then killed: orders are taken and changed all the same, and stock is right when it is back."""
    async with Shop(stack) as shop:
        await shop.more(10)
        with contextlib.ExitStack() as thaw:
            thaw.callback(stack.kill, "kafka")
            assert stack.kill("kafka", signal.SIGSTOP)
            began = time.monotonic()
            await shop.more(20)
            await stack.until(lambda: time.monotonic() - began > AWAY_SECONDS, AWAY_SECONDS + 10)
            assert not await shop.right()
        await shop.more(20)
    await stack.until(shop.right, 90)


@pytest.mark.parametrize("name", ["inventory", "relay"])
async def test_who_settles_dies_under_load(stack: Any, name: str) -> None:
    """Killed in the middle of its work and started again, it leaves nothing out and does nothing twice."""
    async with Shop(stack) as shop:
        for _ in range(2):
            await shop.more(20)
            await stack.until(lambda: stack.kill(name))
        await shop.more(20)
    await stack.until(shop.right, 60)
