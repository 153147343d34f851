"""Order entry over REST: what is sent on, and what is refused before any service hears of it."""

import io
import json
from typing import Any

import pytest

from tests.web.samples import ADA, ID

LINES = {
    "lines": [{"sku": "b", "quantity": 1}, {"sku": "a", "quantity": 2, "unit_price": 0}, {"sku": "b", "quantity": 3, "unit_price": None}]
}


async def test_lines_stay_as_sent(client: Any, token: Any, services: Any) -> None:
    """Nothing is merged or sorted; a price of nothing is a price."""
    body = LINES | {"user_id": str(ADA), "reason": "telephone", "note": "x"}
    reply = await client("POST", "/orders/entry", token=token("staff"), json=body)

    assert (reply.status, reply.headers["Location"], reply.headers["ETag"]) == (201, f"/api/v1/orders/{ID}", '"1"')
    asked = services.orders.asked
    assert [(line.sku, line.quantity, line.unit_price) for line in asked.lines] == [("b", 1, None), ("a", 2, 0), ("b", 3, None)]
    assert (asked.user_id, asked.email, asked.reason, asked.note, asked.idempotency_key) == (str(ADA), None, "telephone", "x", "")


async def test_a_guest_and_a_key(client: Any, token: Any, services: Any) -> None:
    """An e-mail alone is a guest; a key is honoured."""
    reply = await client("POST", "/orders/entry", token=token("staff"), key="k", json=LINES | {"email": "Guest@Example.org"})

    assert reply.status == 201
    asked = services.orders.asked
    assert (asked.user_id, asked.email, asked.idempotency_key) == (None, "guest@example.org", "k")


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({}, "user_id"),
        ({"user_id": None, "email": None}, "user_id"),
        ({"user_id": "x"}, "user_id"),
        ({"email": "x"}, "email"),
        ({"email": "a@b.org", "lines": []}, "lines"),
        ({"email": "a@b.org", "lines": [{"sku": "a", "quantity": 1, "unit_price": -1}]}, "lines[0].unit_price"),
        ({"email": "a@b.org", "lines": [{"sku": "a", "quantity": 1, "unit_price": 1_000_000_001}]}, "lines[0].unit_price"),
        ({"email": "a@b.org", "lines": [{"sku": "a", "quantity": 0}]}, "lines[0].quantity"),
        ({"email": "a@b.org", "lines": [{"sku": "a", "quantity": 1}] * 10_001}, "lines"),
        ({"email": "a@b.org", "total": 1}, "total"),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_cannot_be_meant_is_refused(client: Any, token: Any, services: Any, wrong: Any, field: str) -> None:
    """A 422 names the field, and no service is asked."""
    reply = await client("POST", "/orders/entry", token=token("staff"), json=LINES | wrong)

    assert reply.problem == (422, "validation_failed")
    assert reply.json["errors"][0]["field"] == field
    assert services.orders.calls == []


async def test_ten_thousand_lines_are_a_body(client: Any, token: Any, services: Any) -> None:
    """They have more than the 256 KiB of other bodies, and at most 1 MiB."""
    lines = [{"sku": f"LONG-SKU-{n:05}", "quantity": 1, "unit_price": 12345} for n in range(10_000)]
    body: Any = {"email": "a@b.org", "lines": lines}
    sent = {"data": io.BytesIO(json.dumps(body).encode()), "headers": {"Content-Type": "application/json"}}
    assert (await client("POST", "/orders/entry", token=token("staff"), **sent)).status == 201
    assert len(services.orders.asked.lines) == 10_000

    body["note"] = "x" * (1 << 20)
    sent["data"] = io.BytesIO(json.dumps(body).encode())
    assert (await client("POST", "/orders/entry", token=token("staff"), **sent)).problem == (413, "too_large")


async def test_customers_enter_nothing(client: Any, token: Any) -> None:
    """It takes staff."""
    assert (await client("POST", "/orders/entry", token=token(), json=LINES | {"email": "a@b.org"})).problem == (403, "forbidden")
