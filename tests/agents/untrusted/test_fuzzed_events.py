"""Ten thousand records at random, to a real inventory process: nothing crashes, nothing is held up."""

import dataclasses
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

TOPIC = "soms.orders"
FUZZED = 10_000
STATUSES = ("placed", "paid", "shipped", "delivered", "returned", "cancelled")
MEMBERS = ("order_id", "version", "status", "lines", "total", "at", "currency", "returned", "email", "external_number", "new")
Record = tuple[bytes, bytes | None, list[tuple[str, bytes]]]


def fuzzed(shelf: Any) -> list[Record]:
    """Key, value and headers of records, from bytes at random to events of unknown orders with a few wrong members."""
    found: list[Record] = []

    @hypothesis(max_examples=FUZZED // 20, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.lists(anything(), min_size=20, max_size=20))
    def collect(some: list[Any]) -> None:
        for status, changed, raw, headers, how in some:
            order = dataclasses.replace(shelf, order_id=uuid4())
            key = b"key" if how == "key" else str(order.order_id).encode()
            value = raw if how == "raw" else order.value(status, **changed)
            found.append((key, value, headers if how == "headers" else order.headers(status) + headers))

    collect()
    return found[:FUZZED]


def anything() -> st.SearchStrategy[Any]:
    """Status, members that are changed, bytes, further headers, and what is at random."""
    odd = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["placed", "shipped", "A"])
    lines = st.lists(st.dictionaries(st.sampled_from(["sku", "name", "quantity", "returned_quantity", "unit_price"]), odd), max_size=2)
    members = st.dictionaries(st.sampled_from(MEMBERS), odd | lines, max_size=3)
    header = st.tuples(st.sampled_from(["ce_id", "ce_type", "ce_time", "traceparent", "x"]), st.binary(max_size=40))
    how = st.sampled_from(["members", "members", "members", "raw", "key", "headers"])
    return st.tuples(st.sampled_from(STATUSES), members, st.none() | st.binary(max_size=100), st.lists(header, max_size=1), how)


@pytest.mark.timeout(300)
async def test_fuzzed_events(shelf: Any) -> None:
    """Ten thousand records of all kinds crash nothing and block nothing: good ones behind them are handled, and stock is as it was."""
    records = fuzzed(shelf)
    assert len(records) == FUZZED
    for key, value, headers in records:
        await shelf.producer.send(TOPIC, value, key=key, headers=headers)
    await shelf.producer.flush()
    await shelf.done(240)
    assert await shelf.state() == ("HELD", 10, 2, 1)
    await shelf.tell("shipped")

    assert await shelf.state() == ("SHIPPED", 8, 0, 2)
