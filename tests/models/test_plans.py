"""Plans of the hot statements: made while tables were empty, and kept, they must still be right when there are millions of rows."""

from collections.abc import Iterator
from typing import Any

import asyncpg
import orjson
import pytest

from soms.local.postgres import Postgres
from soms.models import fulfilment, reservation
from soms.models.database import fetch, transaction

STATEMENTS = {
    "hold": (reservation.HOLD, "uuid[], text[], int[]", "array[uuidv7()], array['a'], array[1]"),
    "standing": (reservation.STANDING, "uuid[]", "array[uuidv7()]"),
    "allocate": (fulfilment.ALLOCATE, "uuid[]", "array[uuidv7()]"),
    "lock": (fulfilment.LOCK, "uuid[]", "array[uuidv7()]"),
    "move": (
        fulfilment.MOVE,
        "uuid[], bigint[], text[], text[], jsonb[]",
        "array[uuidv7()], array[1], array['HELD'], array['SHIPPED'], array['{}'::jsonb]",
    ),
}
TWIN = "select state from unnest($1) as t (order_id) join reservation using (order_id)"


async def plan(server: Postgres, statement: str, types: str, values: str) -> dict[str, Any]:
    """The plan for any values, made on empty tables whose emptiness PostgreSQL has noted."""
    owner = await asyncpg.connect(server.dsn)
    await owner.execute("analyze products.reservation, products.reservation_line")
    await owner.close()
    async with transaction("products"):
        await fetch("products", "set local plan_cache_mode = force_generic_plan")
        await fetch("products", f"prepare hot ({types}) as {statement}")
        (row,) = await fetch("products", f"explain (format json) execute hot ({values})")
        await fetch("products", "deallocate hot")
    found: dict[str, Any] = orjson.loads(row[0])[0]["Plan"]
    return found


def reads(node: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each reading of a table that grows with every order: kind, table or index, condition on the index."""
    if node.get("Relation Name", node.get("Index Name", "")).startswith("reservation") and "Operation" not in node:
        condition = node.get("Index Cond") or node.get("Recheck Cond", "")
        yield node["Node Type"], node.get("Index Name", node.get("Relation Name")), condition
    for child in node.get("Plans", ()):
        yield from reads(child)


@pytest.mark.parametrize("name", STATEMENTS)
async def test_hot_statements_read_by_key(database: None, server: Postgres, name: str) -> None:
    """Whatever grows with every order is read by the key of the order, never as a whole."""
    found = list(reads(await plan(server, *STATEMENTS[name])))

    assert [read for read in found if "order_id" not in read[2]] == []
    assert {index for kind, index, _ in found if kind == "Index Scan"} <= {"reservation_pkey", "reservation_line_pkey"}


async def test_a_join_would_read_all(database: None, server: Postgres) -> None:
    """The naive twin, a plain join, reads the table as a whole."""
    found = list(reads(await plan(server, TWIN, "uuid[]", "array[uuidv7()]")))

    assert [read for read in found if "order_id" not in read[2]]
