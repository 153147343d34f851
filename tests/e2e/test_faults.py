"""What dies under load, over REST: nothing that was answered is lost, nothing is held for ever, few notice."""

import asyncio
import contextlib
import signal
import time
import uuid
from collections import Counter
from typing import Any, Self

import aiohttp
import pytest

CLIENTS = 8
ORDERS = "select id::text, number, total from orders.orders where id in (select order_id from orders.order_line where sku = $1)"
STATES = "select distinct state from products.reservation join products.reservation_line using (order_id) where sku = $1"
HOLD = "insert into products.reservation (order_id, expires_at) values ($1, now() - interval '1 s')"
HOLD_LINE = """
insert into products.reservation_line (order_id, sku, quantity, unit_price, name, currency) values ($1, $2, 5, 500, 'Sturdy', 'GBP')
"""


class Load:
    """Customers who place orders of one piece, one after the other, and write down each answer by its key."""

    def __init__(self, stack: Any, sku: str) -> None:
        self.stack, self.sku = stack, sku
        self.answers: dict[str, Any] = {}
        self.statuses: Counter[int] = Counter()
        self.stopping = False

    async def __aenter__(self) -> Self:
        """Begin."""
        clients = [await self.stack.client(f"load-{n}@example.org") for n in range(CLIENTS)]
        self.tasks = [asyncio.create_task(self.customer(client)) for client in clients]
        return self

    async def __aexit__(self, *error: object) -> None:
        """End, and repeat what got no answer, with its key, until it has one."""
        self.stopping = True
        await asyncio.gather(*self.tasks)

    async def customer(self, client: Any) -> None:
        """Place orders until told to stop; then see that each key got an answer."""
        open_ = []
        while not self.stopping:
            key = uuid.uuid4().hex
            if not await self.place(client, key):
                open_.append(key)
        for key in open_:
            await self.stack.until(lambda key=key: self.place(client, key), 60)

    async def place(self, client: Any, key: str) -> bool:
        """Whether the order was accepted."""
        try:
            answer = await client("POST", "orders", {"lines": [{"sku": self.sku, "quantity": 1}]}, Idempotency_Key=key)
        except (aiohttp.ClientError, TimeoutError):
            self.statuses[0] += 1
            return False
        self.statuses[answer.status] += 1
        if answer.status == 201:
            self.answers[key] = answer.body
        return bool(answer.status == 201)

    async def accepted(self, more: int) -> None:
        """Wait for so many more accepted orders."""
        goal = len(self.answers) + more
        await self.stack.until(lambda: len(self.answers) >= goal, 60)


async def goods(stack: Any, on_hand: int = 1_000_000) -> tuple[Any, str]:
    """A staff client and a new SKU with so many pieces."""
    staff, sku = await stack.client("faults-staff@example.org", "staff"), f"FAULT-{uuid.uuid4().hex[:12]}"
    assert (
        await staff("POST", "products", {"sku": sku, "name": "Sturdy", "price": 500, "currency": "GBP", "on_hand": on_hand})
    ).status == 201
    return staff, sku


async def books_agree(stack: Any, load: Load) -> None:
    """Every answered order stands once, as answered; stock is reserved for exactly the orders that stand."""
    rows = await stack.rows(ORDERS, load.sku)
    answered = {body["id"]: (body["number"], body["total"]) for body in load.answers.values()}
    assert {row["id"]: (row["number"], row["total"]) for row in rows} == answered
    assert len(answered) == len(load.answers)

    async def settled() -> bool:
        (row,) = await stack.rows("select reserved from products.stock where sku = $1", load.sku)
        states = await stack.rows(STATES, load.sku)
        return row["reserved"] == len(answered) and {s["state"] for s in states} == {"ALLOCATED"}

    await stack.until(settled, 30)


async def test_no_answered_order_is_lost_with_the_database(stack: Any) -> None:
    """PostgreSQL is killed under load, twice: it comes back by itself, and each 201 is there, once."""
    _, sku = await goods(stack)
    async with Load(stack, sku) as load:
        for _ in range(2):
            await load.accepted(40)
            killed = stack.kill("postgres")
            assert killed
            await load.accepted(40)

    await books_agree(stack, load)
    assert load.statuses[500] == 0
    assert load.statuses[201] >= 160


async def test_product_dies_between_reserve_and_place(stack: Any) -> None:
    """The product service is killed under load: orders go on when it is back, and every hold ends up with its order."""
    _, sku = await goods(stack)
    async with Load(stack, sku) as load:
        await load.accepted(40)
        stack.kill("product")
        await load.accepted(40)

    await books_agree(stack, load)
    assert load.statuses[500] == 0


async def test_order_dies_between_reserve_and_place(stack: Any) -> None:
    """The order service is killed under load: holds of orders that never came to be are released once their time is up."""
    _, sku = await goods(stack)
    async with Load(stack, sku) as load:
        await load.accepted(40)
        stack.kill("order")
        await load.accepted(40)
    # a hold that nobody claims: as if the order service had died for good right after reserving
    orphan = uuid.uuid4()
    await stack.rows(HOLD, orphan)
    await stack.rows(HOLD_LINE, orphan, sku)
    await stack.rows("update products.stock set reserved = reserved + 5 where sku = $1", sku)

    async def released() -> bool:
        rows = await stack.rows("select state from products.reservation where order_id = $1", orphan)
        return bool(rows[0]["state"] == "RELEASED")

    await stack.until(released, 40)
    assert (await stack.rows("select state from orders.attempt where order_id = $1", orphan))[0]["state"] == "ABANDONED"
    await stack.rows("delete from products.reservation_line where order_id = $1", orphan)
    await books_agree(stack, load)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_a_second_instance_comes_and_goes(stack: Any, number: signal.Signals) -> None:
    """A second order instance is started and ended under load: at most three requests fail when killed, none when asked to leave."""
    _, sku = await goods(stack)
    async with Load(stack, sku) as load:
        await load.accepted(20)
        async with stack.another("order") as second:
            await stack.until(lambda: two_up(stack), 30)
            await load.accepted(100)
            before = load.statuses.copy()
            second.process.send_signal(number)
            await second.wait()
            await load.accepted(100)

    failed = sum((load.statuses - before).values()) - (load.statuses - before)[201]
    assert failed <= (3 if number is signal.SIGKILL else 0), load.statuses
    await books_agree(stack, load)


async def two_up(stack: Any) -> bool:
    """Whether two order instances are up."""
    return bool(await stack.up("order") == 2)


async def test_without_the_registry_orders_go_on(stack: Any) -> None:
    """Eureka is killed: orders go on as if nothing had been, and all are registered again when it is back."""
    _, sku = await goods(stack)
    async with Load(stack, sku) as load:
        await load.accepted(20)
        before = load.statuses.copy()
        stack.kill("eureka")
        await load.accepted(100)

    assert load.statuses - before == Counter({201: (load.statuses - before)[201]})

    async def back() -> bool:
        return all([await stack.up(name) == 1 for name in ("user", "product", "order", "web", "relay", "inventory")])

    await stack.until(back, 60)


async def test_a_frozen_product_service_costs_its_deadline_and_no_more(stack: Any) -> None:
    """With product stopped in its tracks, placing answers 503 within the deadline; reading orders goes on; then all is well again."""
    _, sku = await goods(stack)
    ann = await stack.client("load-0@example.org")
    key, body = uuid.uuid4().hex, {"lines": [{"sku": sku, "quantity": 1}]}
    with contextlib.ExitStack() as thaw:
        thaw.callback(stack.kill, "product", signal.SIGCONT)
        stack.kill("product", signal.SIGSTOP)
        start = time.monotonic()
        refused = await ann("POST", "orders", body, Idempotency_Key=key)
        took = time.monotonic() - start
        listed = await ann("GET", "orders")

    assert (refused.status, refused.body["reason"], listed.status) == (503, "unavailable", 200)
    assert "Retry-After" in refused.headers
    assert took < 3.5

    async def placed() -> bool:
        return bool((await ann("POST", "orders", body, Idempotency_Key=key)).status == 201)

    await stack.until(placed, 20)
