"""Catalogue and stock over REST."""

from typing import Any

import pytest

from soms.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from soms.rpc.gen.soms import v1

TEA = {"sku": "TEA", "name": "Tea", "price": 850, "currency": "GBP"}


async def test_adding_a_product(client: Any, token: Any, services: Any) -> None:
    """What is left out or null is not said."""
    reply = await client("POST", "/products", token=token("staff"), json=TEA | {"category": None, "on_hand": 9})

    assert reply.status == 201
    assert reply.headers["Location"] == "/api/v1/products/TEA"
    assert list(reply.json) == ["sku", "name", "description", "category", "price", "currency", "available", "active", "version"]
    assert services.products.asked == v1.CreateProductRequest(**TEA, on_hand=9)
    assert services.orders.calls == []


async def test_the_place_of_a_product_is_quoted(client: Any, token: Any, services: Any) -> None:
    """A SKU may have characters that an address must not."""
    services.products.answers["create_product"].product.sku = "50% a?"
    reply = await client("POST", "/products", token=token("staff"), json=TEA | {"sku": "50% a?"})

    assert reply.headers["Location"] == "/api/v1/products/50%25%20a%3F"


@pytest.mark.parametrize(
    "wrong",
    [
        {"price": -1},
        {"price": 1.5},
        {"price": "850"},
        {"price": 1_000_000_001},
        {"currency": "gbp"},
        {"currency": None},
        {"name": None},
        {"on_hand": -1},
        {"on_hand": 2**40},
        {"category": ""},
        {"description": "x" * 5001},
        {"available": 9},
        {"active": True},
        {"version": 1},
    ],
    ids=str,
)
async def test_bad_products_are_refused(client: Any, token: Any, services: Any, wrong: Any) -> None:
    """Prices are whole minor units, and what is counted is not said."""
    assert (await client("POST", "/products", token=token("staff"), json=TEA | wrong)).problem == (422, "validation_failed")
    assert services.products.calls == []


async def test_a_free_product_is_fine(client: Any, token: Any) -> None:
    """0 is a price."""
    assert (await client("POST", "/products", token=token("staff"), json=TEA | {"price": 0})).status == 201


async def test_a_sku_that_is_taken(client: Any, token: Any, services: Any) -> None:
    """409 says so."""
    services.products.answers["create_product"] = AlreadyExists(reason="sku_taken")

    assert (await client("POST", "/products", token=token("staff"), json=TEA)).problem == (409, "sku_taken")


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({}, v1.UpdateProductRequest(sku="TEA")),
        ({"price": 0, "active": False}, v1.UpdateProductRequest(sku="TEA", price=0, active=False)),
        ({"category": None, "description": None}, v1.UpdateProductRequest(sku="TEA", category="", description="")),
        ({"low_threshold": 3, "currency": "EUR"}, v1.UpdateProductRequest(sku="TEA", low_threshold=3, currency="EUR")),
    ],
    ids=str,
)
async def test_products_are_merged(client: Any, token: Any, services: Any, changes: Any, sent: Any) -> None:
    """What is absent stays, null clears."""
    assert (await client("PATCH", "/products/TEA", token=token("staff"), json=changes)).status == 200
    assert services.products.asked == sent


@pytest.mark.parametrize(
    "changes", [{"sku": "X"}, {"available": 1}, {"version": 1}, {"price": None}, {"active": 1}, {"on_hand": 5}], ids=str
)
async def test_some_members_cannot_be_changed(client: Any, token: Any, changes: Any) -> None:
    """The SKU is for good, stock moves by its ledger alone."""
    assert (await client("PATCH", "/products/TEA", token=token("staff"), json=changes)).problem == (422, "validation_failed")


async def test_prices_over_time(client: Any) -> None:
    """Each has the moment from which it holds."""
    reply = await client("GET", "/products/TEA/prices")

    assert reply.json == {"items": [{"price": 850, "currency": "GBP", "from": "2026-11-22T10:00:00.000000Z"}], "next": None}


async def test_stock_is_shown_and_adjusted(client: Any, token: Any, services: Any) -> None:
    """Both answers are the stock."""
    shown = await client("GET", "/products/TEA/stock", token=token("staff"))
    adjusted = await client("POST", "/products/TEA/stock", token=token("staff"), json={"delta": -2, "reason": "broken"})

    assert shown.json == adjusted.json == {"sku": "TEA", "on_hand": 9, "reserved": 2, "available": 7, "low_threshold": 3}
    assert services.products.asked == v1.AdjustStockRequest(sku="TEA", delta=-2, reason="broken")


@pytest.mark.parametrize(
    "wrong", [{"delta": 0}, {"delta": 1.5}, {"delta": None}, {"delta": 2**63}, {"reason": ""}, {"reason": " "}, {"on_hand": 1}], ids=str
)
async def test_bad_adjustments_are_refused(client: Any, token: Any, wrong: Any) -> None:
    """Something moves, for a reason."""
    reply = await client("POST", "/products/TEA/stock", token=token("staff"), json={"delta": 1, "reason": "x"} | wrong)

    assert reply.problem == (422, "validation_failed")


async def test_stock_that_is_promised_stays(client: Any, token: Any, services: Any) -> None:
    """The service's refusal has its members."""
    short = [{"sku": "TEA", "requested": 9, "available": 7}]
    services.products.answers["adjust_stock"] = FailedPrecondition(reason="insufficient_stock", short=short)
    reply = await client("POST", "/products/TEA/stock", token=token("staff"), json={"delta": -9, "reason": "x"})

    assert reply.problem == (409, "insufficient_stock")
    assert reply.json["short"] == short


async def test_the_ledger(client: Any, token: Any) -> None:
    """A movement has its reason or its order, and null for the other."""
    items = (await client("GET", "/products/TEA/movements", token=token("staff"))).json["items"]

    assert list(items[0]) == ["id", "at", "kind", "delta", "on_hand", "reason", "order_id"]
    assert (items[0]["reason"], items[0]["order_id"]) == ("first", None)


class TestKeys:
    """One key serves one request in all of SOMS, so changes outside the order service claim theirs there."""

    async def test_a_key_is_claimed_and_sent_on(self, client: Any, token: Any, services: Any) -> None:
        """First the claim, then the change; the replay is said in a header."""
        services.products.answers["create_product"].replayed = True
        reply = await client("POST", "/products", token=token("staff"), key="k", json=TEA)

        assert reply.headers["Idempotent-Replayed"] == "true"
        assert services.orders.asked.idempotency_key == services.products.asked.idempotency_key == "k"

    async def test_a_claim_is_of_route_and_body(self, client: Any, token: Any, services: Any) -> None:
        """Equal requests have equal fingerprints, in whatever order their members come; others have not."""
        adjust = {"delta": 1, "reason": "x"}
        for path, body in (
            ("/products/TEA/stock", adjust),
            ("/products/TEA/stock", dict(reversed(adjust.items()))),
            ("/products/TEA/stock", adjust | {"delta": 2}),
            ("/products/OIL/stock", adjust),
        ):
            await client("POST", path, token=token("staff"), key="k", json=body)
        same, reordered, other, elsewhere = (call[1].fingerprint for call in services.orders.calls)

        assert same == reordered
        assert len({same, other, elsewhere}) == 3
        assert len(same) == 32

    async def test_a_key_of_another_request_changes_nothing(self, client: Any, token: Any, services: Any) -> None:
        """The mismatch comes before the change."""
        services.orders.answers["claim_key"] = InvalidArgument(reason="idempotency_mismatch")
        reply = await client("POST", "/products/TEA/stock", token=token("staff"), key="k", json={"delta": 1, "reason": "x"})

        assert reply.problem == (422, "idempotency_mismatch")
        assert services.products.calls == []

    async def test_a_bad_key_is_refused(self, client: Any, token: Any) -> None:
        """Where a key is honoured it must be fit, too."""
        reply = await client("POST", "/products", token=token("staff"), key="a b", json=TEA)

        assert reply.problem == (400, "idempotency_key_invalid")
