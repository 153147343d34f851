"""Somebody else's server hears of orders: from REST to a signed request, through everything in between."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from tests.agents.webhook.receiver import Receiver, receiving


@pytest.fixture
async def receiver(stack: Any) -> AsyncIterator[Receiver]:
    """A server that takes webhooks; what is registered during the test goes with it."""
    async with receiving() as one:
        yield one
    await stack.rows("delete from notifications.webhook")


async def test_an_order_is_heard_of(stack: Any, receiver: Receiver) -> None:
    """Once, signed by the secret that was shown, and after a rotation by both; staff sees each delivery and has it sent again."""
    staff, ann = await stack.client("webhooks@example.org", "staff"), await stack.client("hooked@example.org")
    asked = {"url": receiver.url, "event_types": ["soms.order.placed.v1", "soms.order.paid.v1"]}

    async def added() -> Any:
        answer = await staff("POST", "webhooks", asked)
        return answer.body if answer.status == 201 else None

    webhook = await stack.until(added)
    lines = {"lines": [{"sku": "MUG-BLUE", "quantity": 1}]}
    order = (await ann("POST", "orders", lines, Idempotency_Key=uuid4().hex)).body

    def posts(number: int) -> Any:
        found = [post for post in receiver.got if post.json["data"]["order_id"] == order["id"]]
        return len(found) >= number and found

    [placed] = await stack.until(lambda: posts(1))

    assert placed.json["type"] == "soms.order.placed.v1"
    assert placed.signed_by(webhook["secret"])

    rotated = (await staff("POST", f"webhooks/{webhook['id']}/rotate-secret")).body
    await ann("POST", f"orders/{order['id']}/pay")
    await staff("POST", f"orders/{order['id']}/ship")
    [_, paid] = await stack.until(lambda: posts(2))

    assert paid.json["type"] == "soms.order.paid.v1"
    assert paid.signed_by(webhook["secret"])
    assert paid.signed_by(rotated["secret"])
    assert not placed.signed_by(rotated["secret"])

    async def delivered() -> Any:
        items = (await staff("GET", f"notifications?order_id={order['id']}&channel=webhook")).body["items"]
        return [item["status"] for item in items] == ["sent", "sent"] and items

    newest = (await stack.until(delivered))[0]
    assert (newest["recipient"], newest["attempts"][0]["detail"]) == (receiver.url, "204")
    assert (await staff("POST", f"notifications/{newest['id']}/redeliver")).status == 202
    [*_, again] = await stack.until(lambda: posts(3))
    assert again.headers["webhook-id"] == paid.headers["webhook-id"]
