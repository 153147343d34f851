"""Many at once, over REST, on the running stack: stock, keys and changes."""

import asyncio
import uuid
from typing import Any

import pytest

BUYERS = 64
STOCK = 100


async def goods(stack: Any, on_hand: int) -> tuple[Any, str]:
    """A staff client and a new SKU with so many pieces."""
    staff, sku = await stack.client("races-staff@example.org", "staff"), f"RACE-{uuid.uuid4().hex[:12]}"
    made = await staff("POST", "products", {"sku": sku, "name": "Last pieces", "price": 500, "currency": "GBP", "on_hand": on_hand})
    assert made.status == 201
    return staff, sku


@pytest.mark.parametrize("pieces", [1, 3])
async def test_exactly_what_is_there_is_sold(stack: Any, pieces: int) -> None:
    """64 buyers want more than there is, each several times: exactly the stock is sold, and the refusals name what is short."""
    staff, sku = await goods(stack, STOCK)
    buyers = [await stack.client(f"buyer-{n}@example.org") for n in range(8)]

    async def buy(n: int) -> list[Any]:
        body = {"lines": [{"sku": sku, "quantity": pieces}]}
        return [await buyers[n % 8]("POST", "orders", body, Idempotency_Key=uuid.uuid4().hex) for _ in range(3)]

    answers = [answer for many in await asyncio.gather(*(buy(n) for n in range(BUYERS))) for answer in many]

    sold = sum(line["quantity"] for a in answers if a.status == 201 for line in a.body["lines"])
    assert sold == STOCK - STOCK % pieces
    assert {(a.status, a.body.get("reason")) for a in answers} == {(201, None), (409, "insufficient_stock")}
    short = next(a.body["short"] for a in answers if a.status == 409)
    assert short == [{"sku": sku, "requested": pieces, "available": short[0]["available"]}]
    stock = (await staff("GET", f"products/{sku}/stock")).body
    assert (stock["on_hand"], stock["reserved"]) == (STOCK, sold)


async def test_copies_of_one_key(stack: Any) -> None:
    """Ten parallel copies make one order and equal answers; another body is a mismatch, another account is not concerned."""
    _, sku = await goods(stack, STOCK)
    ann, bob = await stack.client("copies-ann@example.org"), await stack.client("copies-bob@example.org")
    key, body = uuid.uuid4().hex, {"lines": [{"sku": sku, "quantity": 2}]}

    copies = await asyncio.gather(*(ann("POST", "orders", body, Idempotency_Key=key) for _ in range(10)))
    other = await ann("POST", "orders", {"lines": [{"sku": sku, "quantity": 3}]}, Idempotency_Key=key)
    merged = await ann("POST", "orders", {"lines": [{"sku": sku, "quantity": 1}] * 2}, Idempotency_Key=key)
    elsewhere = await bob("POST", "orders", body, Idempotency_Key=key)

    assert {a.status for a in copies} == {201}
    assert all(a.body == copies[0].body for a in [*copies, merged])
    assert sorted(a.headers.get("Idempotent-Replayed", "") for a in copies) == [""] + ["true"] * 9
    assert (other.status, other.body["reason"]) == (422, "idempotency_mismatch")
    assert elsewhere.status == 201
    assert elsewhere.body["id"] != copies[0].body["id"]
    mine = (await ann("GET", "orders")).body["items"]
    assert [order["id"] for order in mine if order["lines"][0]["sku"] == sku] == [copies[0].body["id"]]


async def test_a_refusal_is_replayed_to_the_byte(stack: Any) -> None:
    """A refusal for stock is the key's answer, also when there is stock again."""
    staff, sku = await goods(stack, 1)
    ann = await stack.client("copies-ann@example.org")
    key, body = uuid.uuid4().hex, {"lines": [{"sku": sku, "quantity": 2}]}

    first = await ann("POST", "orders", body, Idempotency_Key=key)
    await staff("POST", f"products/{sku}/stock", {"delta": 10, "reason": "delivery"})
    again = await ann("POST", "orders", body, Idempotency_Key=key)
    fresh = await ann("POST", "orders", body, Idempotency_Key=uuid.uuid4().hex)

    assert (first.status, first.body["reason"]) == (409, "insufficient_stock")
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"
    assert fresh.status == 201


async def test_one_key_serves_one_request_in_all_of_soms(stack: Any) -> None:
    """The key of an order is a mismatch on stock, and the other way round."""
    staff, sku = await goods(stack, 10)
    first, second = uuid.uuid4().hex, uuid.uuid4().hex
    order, more = {"lines": [{"sku": sku, "quantity": 1}]}, {"delta": 5, "reason": "delivery"}

    assert (await staff("POST", "orders", order, Idempotency_Key=first)).status == 201
    assert (await staff("POST", f"products/{sku}/stock", more, Idempotency_Key=second)).status == 200
    crossed = [
        await staff("POST", f"products/{sku}/stock", more, Idempotency_Key=first),
        await staff("POST", "orders", order, Idempotency_Key=second),
    ]
    again = await staff("POST", f"products/{sku}/stock", more, Idempotency_Key=second)

    assert [(a.status, a.body["reason"]) for a in crossed] == [(422, "idempotency_mismatch")] * 2
    assert (again.status, again.body["on_hand"], again.headers["Idempotent-Replayed"]) == (200, 15, "true")


async def test_rival_changes_of_one_order(stack: Any) -> None:
    """Of parallel cancellations and payments with the version seen, one wins; stock is given back once."""
    staff, sku = await goods(stack, 10)
    ann = await stack.client("copies-ann@example.org")
    order = (await ann("POST", "orders", {"lines": [{"sku": sku, "quantity": 4}]}, Idempotency_Key=uuid.uuid4().hex)).body

    wanted = ["cancel", "pay"] * 8
    answers = await asyncio.gather(*(ann("POST", f"orders/{order['id']}/{what}", If_Match='"1"') for what in wanted))

    assert sorted(a.status for a in answers) == [200] + [412] * 15
    await ann("POST", f"orders/{order['id']}/cancel")
    assert (await ann("GET", f"orders/{order['id']}")).body["status"] == "cancelled"

    async def free() -> bool:
        stock = (await staff("GET", f"products/{sku}/stock")).body
        return (stock["on_hand"], stock["reserved"]) == (10, 0)

    await stack.until(free)
