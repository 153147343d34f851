"""Keys, versions and states of orders, used as they should not be, on the running stack."""

import asyncio
import signal
import time
from typing import Any

import pytest

GOOD = {"lines": [{"sku": "MUG-BLUE", "quantity": 1}]}
OTHER = {"lines": [{"sku": "MUG-BLUE", "quantity": 2}]}


@pytest.fixture
async def staff(stack: Any) -> Any:
    """Somebody of the shop."""
    return await stack.client("hostile-staff@example.org", "staff")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("Idempotency-Key: ", (400, "idempotency_key_required")),
        ("Idempotency-Key: " + "a" * 256, (400, "idempotency_key_invalid")),
        ("Idempotency-Key: " + "a" * 300, (400, "idempotency_key_invalid")),
        ("Idempotency-Key: a b", (400, "idempotency_key_invalid")),
        ("Idempotency-Key: ä", (400, "idempotency_key_invalid")),
        ("Idempotency-Key: a\x7fb", (400, "invalid_parameter")),
        ("Idempotency-Key: a\x01b", (400, "invalid_parameter")),
        ("Idempotency-Key: a\r\nIdempotency-Key: a", (400, "idempotency_key_invalid")),
    ],
)
async def test_keys(wire: Any, header: str, expected: Any) -> None:
    """A key is 1 to 255 visible ASCII characters, once; what HTTP itself cannot carry, its parser refuses."""
    assert (await wire.post("/orders", GOOD, header))[:2] == expected


async def test_longest_key_and_every_character(wire: Any) -> None:
    """255 characters are fine, and so is every visible one."""
    visible = "".join(map(chr, range(0x21, 0x7F)))

    assert (await wire.post("/orders", GOOD, f"Idempotency-Key: {time.time_ns():a<255}")).status == 201
    assert (await wire.post("/orders", GOOD, f"Idempotency-Key: {visible}{time.time_ns()}")).status == 201


async def test_key_for_another_order(wire: Any) -> None:
    """The same key with another body is a mismatch, also with lines in another order if they come to something else."""
    key = f"Idempotency-Key: {time.time_ns()}"
    placed = await wire.post("/orders", GOOD, key)

    assert (placed.status, (await wire.post("/orders", OTHER, key))[:2]) == (201, (422, "idempotency_mismatch"))
    assert (await wire.post(f"/orders/{placed.body['id']}/pay", {}, key))[:2] == (422, "idempotency_mismatch")
    assert (await wire.post("/orders", GOOD, key)).body == placed.body


async def test_key_in_flight(stack: Any, wire: Any) -> None:
    """While the first is under way a copy waits a second, then is told to come again; in the end there is one order."""
    key = f"Idempotency-Key: {time.time_ns()}"
    try:
        stack.kill("product", signal.SIGSTOP)
        first = asyncio.create_task(wire.post("/orders", GOOD, key))
        await asyncio.sleep(0.3)
        second = await wire.post("/orders", GOOD, key)
    finally:
        stack.kill("product", signal.SIGCONT)

    assert second[:2] == (409, "in_flight")
    assert (await first).status in {201, 503}

    async def placed() -> Any:
        reply = await wire.post("/orders", GOOD, key)
        return reply.body if reply.status == 201 else None

    order = await stack.until(placed)
    assert (await wire.post("/orders", GOOD, key)).body == order


async def test_states_are_not_skipped(wire: Any, staff: Any) -> None:
    """What an order is not ready for, or was ready for before, is refused and says what it is ready for."""
    order = (await wire.post("/orders", GOOD)).body["id"]
    early = [await staff("POST", f"orders/{order}/{step}") for step in ("ship", "deliver", "return")]
    for step in ("pay", "ship"):
        assert (await staff("POST", f"orders/{order}/{step}")).status == 200
    late = [await wire.post(f"/orders/{order}/{step}", {}) for step in ("cancel", "pay")]

    assert [(answer.status, answer.body["reason"]) for answer in early] == [(409, "invalid_transition")] * 3
    assert [reply[:2] for reply in late] == [(409, "invalid_transition")] * 2
    assert (late[0].body["order_status"], late[0].body["allowed"]) == ("shipped", ["deliver"])


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ('"2"', (412, "stale_version")),
        ('"9223372036854775807"', (412, "stale_version")),
        ('W/"1"', (412, "stale_version")),
        ('"x"', (412, "stale_version")),
        ("1", (400, "invalid_parameter")),
        ('"1", "2"', (400, "invalid_parameter")),
        ("' or 1=1--", (400, "invalid_parameter")),
        ('"1"', (200, "")),
        ("*", (200, "")),
    ],
)
async def test_versions(wire: Any, tag: str, expected: Any) -> None:
    """A change with a version that does not stand changes nothing."""
    order = (await wire.post("/orders", GOOD)).body["id"]
    changed = await wire.post(f"/orders/{order}/cancel", {}, f"If-Match: {tag}")
    read = await wire.get(f"/api/v1/orders/{order}")

    assert changed[:2] == expected
    assert read.body["status"] == ("cancelled" if changed.status == 200 else "placed")


async def test_more_comes_back_than_went_out(stack: Any, wire: Any, staff: Any) -> None:
    """No more comes back than was delivered, in one go, in parts, or in thirty parallel tries."""
    order = (await wire.post("/orders", {"lines": [{"sku": "PEN-FINE", "quantity": 3}]})).body["id"]
    for step in ("pay", "ship", "deliver"):
        assert (await staff("POST", f"orders/{order}/{step}")).status == 200
    lines = {"lines": [{"sku": "PEN-FINE", "quantity": 2}]}
    over = await staff("POST", f"orders/{order}/return", {"lines": [{"sku": "PEN-FINE", "quantity": 4}]})
    foreign = await staff("POST", f"orders/{order}/return", {"lines": [{"sku": "MUG-BLUE", "quantity": 1}]})
    tries = await asyncio.gather(*(staff("POST", f"orders/{order}/return", lines) for _ in range(30)))

    assert (over.status, over.body["reason"]) == (409, "over_return")
    assert (foreign.status, foreign.body["reason"]) == (422, "unknown_sku")
    assert sorted(answer.status for answer in tries) == [200] + [409] * 29
    assert (await wire.get(f"/api/v1/orders/{order}")).body["lines"][0]["returned_quantity"] == 2
