"""What the database itself guards of products, whatever the code above it does."""

import asyncpg
import pytest

from soms.models.database import fetch

CONSTRAINTS = "select conname from pg_constraint where connamespace = 'products'::regnamespace and contype = 'c'"
ROWS = {
    "product": "insert into product (sku, name, description, price, currency, active, version) "
    "values ('{sku}', 'n', '', {price}, '{currency}', true, {version})",
    "price": "insert into price (sku, price, currency) values ('s', {price}, 'GBP')",
    "stock": "insert into stock (sku, on_hand, reserved, low_threshold, version) values ('s', {on_hand}, {reserved}, {low_threshold}, 1)",
    "movement": "insert into movement (sku, kind, delta, on_hand, order_id) values ('s', '{kind}', {delta}, {on_hand}, {order_id})",
    "reservation": "insert into reservation (order_id, state, version, expires_at) values (uuidv7(), '{state}', {version}, now())",
    "reservation_line": "insert into reservation_line (order_id, sku, quantity, returned_quantity, unit_price, currency, name) "
    "values (uuidv7(), 's', {quantity}, {returned}, 1, 'GBP', 'n')",
}
GOOD = {
    "sku": "s",
    "price": 100,
    "currency": "GBP",
    "version": 1,
    "on_hand": 5,
    "reserved": 5,
    "low_threshold": 0,
    "kind": "received",
    "delta": 5,
    "order_id": "null",
    "state": "HELD",
    "quantity": 2,
    "returned": 2,
}
BAD = [
    ("product", "product_price", {"price": -1}),
    ("product", "product_price", {"price": 1_000_000_001}),
    ("product", "product_currency", {"currency": "gbp"}),
    ("product", "product_version", {"version": 0}),
    ("price", "price_price", {"price": -1}),
    ("stock", "stock_reserved", {"reserved": 6}),
    ("stock", "stock_reserved", {"reserved": -1}),
    ("stock", "stock_on_hand", {"on_hand": 2_000_000_001}),
    ("stock", "stock_low_threshold", {"low_threshold": -1}),
    ("movement", "movement_kind", {"kind": "lost", "delta": -1}),
    ("movement", "movement_sign", {"delta": 0}),
    ("movement", "movement_sign", {"delta": -1}),
    ("movement", "movement_sign", {"kind": "adjusted"}),
    ("movement", "movement_order", {"order_id": "uuidv7()"}),
    ("movement", "movement_order", {"kind": "shipped", "delta": -1}),
    ("movement", "movement_on_hand", {"on_hand": -1}),
    ("reservation", "reservation_state", {"state": "LOST"}),
    ("reservation", "reservation_version", {"version": -1}),
    ("reservation_line", "reservation_line_quantity", {"quantity": 0, "returned": 0}),
    ("reservation_line", "reservation_line_returned", {"returned": 3}),
]


async def test_constraints_are_really_there(database: None) -> None:
    """PostgreSQL knows every CHECK that the migration names."""
    found = {row["conname"] for row in await fetch("products", CONSTRAINTS)}

    assert {constraint for _, constraint, _ in BAD} <= found


@pytest.mark.parametrize("table", ROWS)
async def test_good_rows_pass(database: None, table: str) -> None:
    """The rows of this test are fine but for what is changed in them."""
    await fetch("products", ROWS[table].format(**GOOD))


@pytest.mark.parametrize(("table", "constraint", "wrong"), BAD)
async def test_bad_rows_are_refused(database: None, table: str, constraint: str, wrong: dict[str, object]) -> None:
    """No code can write what makes no sense."""
    with pytest.raises(asyncpg.CheckViolationError) as refusal:
        await fetch("products", ROWS[table].format(**GOOD | wrong))

    assert refusal.value.constraint_name == constraint
