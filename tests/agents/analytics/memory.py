"""What history should know of orders, and what it knows."""

import asyncio
import datetime as dt
import time
import uuid
from collections.abc import Mapping
from typing import NamedTuple

from soms.models.database import fetch

RECEIVED = "select count(*) from inbox"
FACTS = "select order_id, version, status, currency, total, placed_at, cancelled_at from order_fact"
LINES = "select order_id, sku, quantity, unit_price from line_fact order by order_id, position"


class Entry(NamedTuple):
    """What history should know of an order."""

    version: int
    status: str
    currency: str
    total: int
    placed_at: dt.datetime
    cancelled_at: dt.datetime | None
    lines: list[tuple[str, int, int]]


async def remembered(book: Mapping[uuid.UUID, Entry], seconds: float = 60) -> None:
    """Wait until history has received every event, as long as it gets on; then it is the book, row by row."""
    events, before, end = sum(entry.version for entry in book.values()), -1, time.monotonic() + seconds
    while (received := (await fetch("analytics", RECEIVED))[0]["count"]) < events:
        if received != before:
            before, end = received, time.monotonic() + seconds
        assert time.monotonic() < end, f"{received:,} of {events:,} events are in history"
        await asyncio.sleep(0.5)
    found = {row["order_id"]: Entry(*list(row.values())[1:], lines=[]) for row in await fetch("analytics", FACTS)}
    for row in await fetch("analytics", LINES):
        found[row["order_id"]].lines.append((row["sku"], row["quantity"], row["unit_price"]))
    wrong = [(book.get(order), found.get(order)) for order in found.keys() | book.keys() if book.get(order) != found.get(order)]
    assert not wrong, f"{len(wrong):,} orders of {len(book):,} are wrong, as {wrong[0]}"
