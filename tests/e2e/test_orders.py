"""The life of orders over REST on the running stack, as README tells it."""

import itertools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

Goods = Callable[[int], Awaitable[str]]
PASSWORD = "correct horse battery"
numbers = itertools.count(1)


@pytest.fixture
async def staff(stack: Any) -> Any:
    """Somebody of the shop."""
    return await stack.client("staff@example.org", "staff")


@pytest.fixture
async def customer(stack: Any) -> Any:
    """Somebody who buys."""
    return await stack.client("customer@example.org")


@pytest.fixture
async def goods(staff: Any) -> Goods:
    """Makes a product of its own with so many pieces, at 5 pounds; its SKU."""

    async def make(on_hand: int) -> str:
        sku = f"STORY-{next(numbers)}"
        created = await staff("POST", "products", {"sku": sku, "name": "A story", "price": 500, "currency": "GBP", "on_hand": on_hand})
        assert created.status == 201, created
        return sku

    return make


async def stock(staff: Any, sku: str) -> tuple[int, int]:
    """Pieces on hand, and how many of them are reserved."""
    answer = await staff("GET", f"products/{sku}/stock")
    return answer.body["on_hand"], answer.body["reserved"]


def order_of(sku: str, quantity: int) -> dict[str, Any]:
    """The body of an order."""
    return {"lines": [{"sku": sku, "quantity": quantity}]}


async def test_newcomer_registers_browses_and_orders(stack: Any) -> None:
    """Everything README lets a reader paste works."""
    nobody = await stack.client()
    registered = await nobody("POST", "auth/register", {"email": "Newcomer@example.org", "password": PASSWORD, "name": "New Comer"})
    login = await nobody("POST", "auth/login", {"email": "newcomer@example.org", "password": PASSWORD})
    found = await nobody("GET", "products?q=mug&category=Kitchen")
    newcomer = await stack.client(token=login.body["access_token"])
    placed = await newcomer("POST", "orders", order_of("MUG-BLUE", 2), Idempotency_Key="my-first-order")
    read = await newcomer("GET", placed.headers["Location"])

    assert (registered.status, login.status, found.status) == (201, 200, 200)
    assert {"MUG-BLUE", "MUG-SAND"} == {product["sku"] for product in found.body["items"]}
    assert placed.status == 201
    assert (placed.body["status"], placed.body["currency"], placed.body["total"]) == ("placed", "GBP", 2500)
    assert (read.body, read.headers["ETag"]) == (placed.body, '"1"')


async def test_retry_gives_the_same_answer_and_no_second_order(stack: Any, customer: Any, staff: Any, goods: Goods) -> None:
    """A key used again replays; with another body it is refused."""
    sku = await goods(10)
    first = await customer("POST", "orders", order_of(sku, 3), Idempotency_Key="retry")
    again = await customer("POST", "orders", {"lines": [{"sku": sku, "quantity": n} for n in (1, 2)]}, Idempotency_Key="retry")
    other = await customer("POST", "orders", order_of(sku, 4), Idempotency_Key="retry")

    assert (first.status, again.status, again.body) == (201, 201, first.body)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (other.status, other.body["reason"]) == (422, "idempotency_mismatch")
    assert await stock(staff, sku) == (10, 3)
    assert await stack.rows("select 1 from orders.order_line where sku = $1", sku) == [(1,)]


async def test_order_goes_all_the_way_and_comes_back(stack: Any, customer: Any, staff: Any, goods: Goods) -> None:
    """Paid, shipped, delivered, returned in two parts: each step is in the timeline, and stock follows."""
    sku = await goods(10)
    order = (await customer("POST", "orders", order_of(sku, 3), Idempotency_Key="all-the-way")).body
    steps = [
        (customer, "pay", {"reference": "card 1"}, "paid", (10, 3)),
        (staff, "ship", {"carrier": "Post", "tracking": "T1"}, "shipped", (7, 0)),
        (staff, "deliver", None, "delivered", (7, 0)),
        (staff, "return", {"lines": [{"sku": sku, "quantity": 1}], "reason": "broken"}, "delivered", (8, 0)),
        (staff, "return", None, "returned", (10, 0)),
    ]
    for version, (who, step, body, status, expected) in enumerate(steps, 2):
        answer = await who("POST", f"orders/{order['id']}/{step}", body)
        assert (answer.status, answer.body["status"], answer.body["version"]) == (200, status, version), step

        async def settled(expected: tuple[int, int] = expected) -> bool:
            return await stock(staff, sku) == expected

        await stack.until(settled)
    timeline = (await customer("GET", f"orders/{order['id']}/timeline")).body["items"]
    movements = (await staff("GET", f"products/{sku}/movements")).body["items"]

    assert [entry["to"] for entry in timeline] == ["placed", "paid", "shipped", "delivered", "delivered", "returned"]
    assert [entry["actor"]["type"] for entry in timeline] == ["customer"] * 2 + ["staff"] * 4
    assert [(one["kind"], one["delta"]) for one in reversed(movements)] == [
        ("received", 10),
        ("shipped", -3),
        ("returned", 1),
        ("returned", 2),
    ]
    assert (await customer("GET", f"orders/{order['id']}")).body["lines"][0]["returned_quantity"] == 3


async def test_cancelled_order_frees_its_stock(stack: Any, customer: Any, staff: Any, goods: Goods) -> None:
    """What was held can be sold again, and the order can no longer be paid."""
    sku = await goods(5)
    order = (await customer("POST", "orders", order_of(sku, 5), Idempotency_Key="to-cancel")).body
    short = await customer("POST", "orders", order_of(sku, 1), Idempotency_Key="too-early")
    cancelled = await customer("POST", f"orders/{order['id']}/cancel", {"reason": "changed my mind"})

    async def sold_again() -> bool:
        return (await customer("POST", "orders", order_of(sku, 5), Idempotency_Key=f"later-{next(numbers)}")).status == 201

    await stack.until(sold_again)
    paid = await customer("POST", f"orders/{order['id']}/pay")

    assert (short.status, short.body["short"]) == (409, [{"sku": sku, "requested": 1, "available": 0}])
    assert (cancelled.status, cancelled.body["status"]) == (200, "cancelled")
    assert (paid.status, paid.body["reason"], paid.body["order_status"]) == (409, "invalid_transition", "cancelled")
    assert await stock(staff, sku) == (5, 5)


async def test_strangers_see_nothing(stack: Any, customer: Any, goods: Goods) -> None:
    """Another's order looks like one that is not there, to read and to change."""
    order = (await customer("POST", "orders", order_of(await goods(1), 1), Idempotency_Key="private")).body
    stranger = await stack.client("stranger@example.org")
    answers = [
        await stranger(method, f"orders/{which}{action}")
        for which in (order["id"], "00000000-0000-7000-8000-000000000000")
        for method, action in (("GET", ""), ("GET", "/timeline"), ("POST", "/cancel"), ("POST", "/pay"))
    ]

    assert {answer.status for answer in answers} == {404}
    assert {(answer.body["reason"], answer.body["detail"]) for answer in answers} == {("not_found", answers[0].body["detail"])}
    assert (await stranger("GET", "orders")).body["items"] == []
