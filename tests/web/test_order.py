"""Orders over REST: what is sent on, what is shown, and what is refused before any service hears of it."""

from typing import Any

import pytest

from soms.errors import Aborted, FailedPrecondition, InvalidArgument
from soms.rpc.gen.soms import v1

ID = "018f0000-0000-7000-8000-000000000001"
LINES = {"lines": [{"sku": "TEA", "quantity": 2}]}
SHOWN = ["id", "number", "external_number", "user_id", "email", "status", "currency", "lines", "subtotal", "total"]
SHOWN += ["shipping_address", "note", "version", "created_at", "updated_at"]


async def test_an_order_is_placed(client: Any, token: Any, services: Any) -> None:
    """The answer has all members of the contract, its place, its version and times with six digits."""
    reply = await client("POST", "/orders", token=token(), key="k-1", json=LINES)

    assert reply.status == 201
    assert reply.headers["Location"] == f"/api/v1/orders/{ID}"
    assert reply.headers["ETag"] == '"1"'
    assert "Idempotent-Replayed" not in reply.headers
    assert list(reply.json) == SHOWN
    assert list(reply.json["lines"][0]) == ["sku", "name", "quantity", "returned_quantity", "unit_price", "total"]
    assert reply.json["status"] == "placed"
    assert reply.json["created_at"] == "2026-11-22T10:00:00.000000Z"
    assert reply.json["external_number"] is reply.json["note"] is None
    assert services.orders.asked.idempotency_key == "k-1"


async def test_equal_skus_are_merged_and_sorted(client: Any, token: Any, services: Any) -> None:
    """The service gets one line a SKU."""
    lines = [{"sku": "b", "quantity": 1}, {"sku": "a", "quantity": 2}, {"sku": "b", "quantity": 3}]
    await client("POST", "/orders", token=token(), key="k", json={"lines": lines})

    assert [(line.sku, line.quantity) for line in services.orders.asked.lines] == [("a", 2), ("b", 4)]


QUANTITIES = (0, -1, 1.5, "1", True, None, 2**31, 2**63, 10**30)
SKUS = ("", " a", "a ", "a/b", ".", "..", "ä", "a" * 65, "a\n", 1)
WRONG = {
    "no lines": {"lines": []},
    "too many lines": {"lines": [{"sku": "a", "quantity": 1}] * 1001},
    "null lines": {"lines": None},
    "merged beyond bounds": {"lines": [{"sku": "a", "quantity": 600_000}] * 2},
    **{
        f"quantity {value!r}": {"lines": [{"sku": "a", "quantity": value}]} for value in (0, -1, 1.5, "1", True, None, 2**31, 2**63, 10**30)
    },
    **{
        f"sku {value!r}": {"lines": [{"sku": value, "quantity": 1}]}
        for value in ("", " a", "a ", "a/b", ".", "..", "ä", "a" * 65, "a\n", 1)
    },
    "list": [],
    "text": "order",
    "address of numbers": LINES | {"shipping_address": {"name": 1, "line1": "x", "city": "x", "country": "GB"}},
    "country in words": LINES | {"shipping_address": {"name": "x", "line1": "x", "city": "x", "country": "Britain"}},
    "bell in a name": LINES | {"shipping_address": {"name": "x\a", "line1": "x", "city": "x", "country": "GB"}},
    "long note": LINES | {"note": "x" * 2001},
}


@pytest.mark.parametrize("case", WRONG)
async def test_what_cannot_be_meant_is_refused(client: Any, token: Any, services: Any, case: str) -> None:
    """Well-formed nonsense is a 422 that names the field, and no service is asked."""
    reply = await client("POST", "/orders", token=token(), key="k", json=WRONG[case])

    assert reply.problem == (422, "validation_failed")
    assert all(error.keys() == {"field", "code", "message"} for error in reply.json["errors"])
    assert services.orders.calls == []


@pytest.mark.parametrize("field", ["price", "total", "status", "user_id", "role", "id", "version"])
async def test_unknown_and_read_only_fields_are_refused(client: Any, token: Any, field: str) -> None:
    """What the client must not say is an unknown field, at the top and in a line."""
    top = await client("POST", "/orders", token=token(), key="k", json=LINES | {field: 1})
    line = await client("POST", "/orders", token=token(), key="k", json={"lines": [{"sku": "a", "quantity": 1, field: 1}]})

    assert top.problem == line.problem == (422, "validation_failed")
    assert [(error["field"], error["code"]) for error in top.json["errors"]] == [(field, "unknown_field")]
    assert [(error["field"], error["code"]) for error in line.json["errors"]] == [(f"lines[0].{field}", "unknown_field")]


async def test_errors_are_bounded(client: Any, token: Any) -> None:
    """A thousand wrong lines are told of a hundred times."""
    reply = await client("POST", "/orders", token=token(), key="k", json={"lines": [{}] * 1000})

    assert len(reply.json["errors"]) == 100


@pytest.mark.parametrize("key", ["", " ", "a b", "ä", "k" * 256, "k" * 300])
async def test_keys_must_be_fit(client: Any, token: Any, key: str) -> None:
    """A key has 1 to 255 visible ASCII characters."""
    reply = await client("POST", "/orders", token=token(), headers={"Idempotency-Key": key}, json=LINES)

    assert reply.problem == (400, "idempotency_key_invalid")


async def test_a_key_must_come_once(client: Any, raw: Any, token: Any, services: Any) -> None:
    """No key and two keys are refused, even two equal ones."""
    none = await client("POST", "/orders", token=token(), json=LINES)
    mine = (f"Authorization: Bearer {token()}", "Content-Type: application/json", "Content-Length: 2")
    two = await raw("POST /api/v1/orders", *mine, "Idempotency-Key: k", "idempotency-key: k", then=b"{}")

    assert none.problem == (400, "idempotency_key_required")
    assert b"idempotency_key_invalid" in two
    assert services.orders.calls == []


async def test_a_replay_is_equal_to_the_byte(client: Any, token: Any, services: Any) -> None:
    """An answer given again differs in its headers alone."""
    first = await client("POST", "/orders", token=token(), key="k", json=LINES)
    services.orders.answers["place_order"].replayed = True
    again = await client("POST", "/orders", token=token(), key="k", json=LINES)

    assert (again.status, again.body, again.headers["ETag"]) == (first.status, first.body, first.headers["ETag"])
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]


async def test_a_refusal_is_replayed_to_the_byte(client: Any, token: Any, services: Any) -> None:
    """A refusal for stock that is given again names the request it was given to first."""
    short = [{"sku": "TEA", "requested": 2, "available": 1}]
    services.orders.answers["place_order"] = FailedPrecondition("too few", reason="insufficient_stock", short=short)
    first = await client("POST", "/orders", token=token(), key="k", json=LINES)
    original = first.headers["X-Request-Id"]
    services.orders.answers["place_order"] = FailedPrecondition(
        "too few", reason="insufficient_stock", short=short, replayed=True, request_id=original
    )
    again = await client("POST", "/orders", token=token(), key="k", json=LINES)

    assert first.problem == (409, "insufficient_stock")
    assert first.json["short"] == short
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.headers["X-Request-Id"] != original


REFUSALS = {
    (409, "insufficient_stock"): FailedPrecondition(reason="insufficient_stock", short=[]),
    (409, "product_inactive"): FailedPrecondition(reason="product_inactive", skus=["TEA"]),
    (409, "invalid_transition"): FailedPrecondition(reason="invalid_transition", order_status="paid", allowed=["ship"]),
    (409, "in_flight"): Aborted(reason="in_flight", retry_after=1),
    (412, "stale_version"): Aborted("stale"),
    (422, "unknown_sku"): InvalidArgument(reason="unknown_sku", skus=["TEA"]),
    (422, "idempotency_mismatch"): InvalidArgument(reason="idempotency_mismatch"),
}


@pytest.mark.parametrize("expected", REFUSALS)
async def test_refusals_of_the_service_keep_reason_and_members(client: Any, token: Any, services: Any, expected: Any) -> None:
    """What the order service says reaches the client with the status of the contract."""
    error = services.orders.answers["place_order"] = REFUSALS[expected]
    reply = await client("POST", "/orders", token=token(), key="k", json=LINES)

    assert reply.problem == expected
    assert {name: reply.json[name] for name in error.details} == error.details
    assert ("Retry-After" in reply.headers) == (expected[1] == "in_flight")


BODIES = {"cancel": {"reason": "x"}, "pay": {"reference": "x"}, "ship": {"carrier": "x"}, "deliver": {}, "return": {}}


@pytest.mark.parametrize("action", BODIES)
async def test_actions_send_key_and_version_on(client: Any, token: Any, services: Any, action: str) -> None:
    """A change carries the order, the key and the version the client has seen."""
    headers = {"If-Match": '"7"'}
    reply = await client("POST", f"/orders/{ID}/{action}", token=token("staff"), key="k", headers=headers, json=BODIES[action])

    assert reply.status == 200
    change = services.orders.asked.change
    assert (change.id, change.if_version, change.idempotency_key) == (ID, 7, "k")


@pytest.mark.parametrize("action", ["cancel", "pay", "ship", "deliver", "return"])
async def test_actions_need_no_body(client: Any, token: Any, services: Any, action: str) -> None:
    """Neither body nor content type are needed where nothing has to be said."""
    reply = await client("POST", f"/orders/{ID}/{action}", token=token("staff"))

    assert reply.status == 200
    assert services.orders.asked.change == v1.Change(id=ID)


async def test_a_partial_return_names_lines(client: Any, token: Any, services: Any) -> None:
    """Lines that come back are merged like those ordered, and an empty list is no way to say all."""
    lines = [{"sku": "a", "quantity": 1}, {"sku": "a", "quantity": 1}]
    await client("POST", f"/orders/{ID}/return", token=token("staff"), json={"lines": lines, "reason": "torn"})
    empty = await client("POST", f"/orders/{ID}/return", token=token("staff"), json={"lines": []})

    assert services.orders.asked.lines == [v1.LineItem(sku="a", quantity=2)]
    assert empty.problem == (422, "validation_failed")


async def test_the_timeline_begins_from_null(client: Any, token: Any) -> None:
    """The first entry comes from nowhere."""
    reply = await client("GET", f"/orders/{ID}/timeline", token=token())

    assert reply.json["items"] == [
        {
            "at": "2026-11-22T10:00:00.000000Z",
            "from": None,
            "to": "placed",
            "actor": {"type": "customer", "id": "018f0000-0000-7000-8000-00000000ada0"},
            "note": None,
            "version": 1,
        }
    ]
