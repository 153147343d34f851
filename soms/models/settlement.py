"""Changes whose stock the product service has not settled yet: the outbox rows of orders without `settled_at`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from soms.models.database import fetch

BATCH = 500
GRACE_SECONDS = 5
UNSETTLED = f"""
select id, payload from outbox
 where settled_at is null and created_at < now() - interval '{GRACE_SECONDS} seconds' order by id limit {BATCH}
"""
SETTLED = "update outbox set settled_at = now() where id = any($1) and settled_at is null"
ROW = "select id, payload from outbox where key = $1 and settled_at is null order by id"


class Unsettled(NamedTuple):
    """Where an order stands, for its stock: `returned` maps SKU to pieces returned in all."""

    row: int
    order_id: str
    version: int
    status: str
    returned: dict[str, int]


def unsettled(row: Any) -> Unsettled:
    """Read it off an outbox row."""
    event = orjson.loads(row["payload"])
    returned: dict[str, int] = {}
    for line in event["lines"]:
        if line["returned_quantity"]:
            returned[line["sku"]] = returned.get(line["sku"], 0) + line["returned_quantity"]
    return Unsettled(row["id"], event["order_id"], event["version"], event["status"], returned)


async def overdue() -> list[Unsettled]:
    """The oldest changes that nobody settled within `GRACE_SECONDS`."""
    return [unsettled(row) for row in await fetch("orders", UNSETTLED)]


async def of_order(order_id: str) -> list[Unsettled]:
    """What is unsettled of one order."""
    return [unsettled(row) for row in await fetch("orders", ROW, order_id)]


async def mark(rows: Sequence[int]) -> None:
    """These outbox rows are settled."""
    await fetch("orders", SETTLED, list(rows))
