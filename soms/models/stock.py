"""Stock: how much of each SKU is there, how much of that is promised to orders, and the ledger of every piece that came or went.

Whoever changes several rows of stock locks them in the order of their SKUs, or two changes wait for each other for ever. A change that
takes availability to the threshold or below, or above it again, is told by a trigger of the table (migration 0002), whoever makes it.
"""

from typing import Annotated, Any
from uuid import UUID

import asyncpg
from pydantic import AfterValidator, Field
from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model

from soms.errors import FailedPrecondition, InvalidArgument, NotFound
from soms.models import paging
from soms.models.database import fetch
from soms.models.idempotency import Answer, fingerprint, once
from soms.values import MAXIMUM_STOCK, Reason, Value

READ = "select sku, on_hand, reserved, on_hand - reserved as available, low_threshold from stock where sku = $1"
LOCK = READ + " for no key update"
THRESHOLD = "update stock set low_threshold = $2, version = version + 1 where sku = $1 and low_threshold <> $2 returning 1"
BEGIN = """
with begun as (insert into stock (sku, on_hand, reserved, low_threshold, version) values ($1, $2, 0, $3, 1) returning sku, on_hand)
insert into movement (sku, kind, delta, on_hand, reason)
select sku, 'received', on_hand, on_hand, 'initial stock' from begun where on_hand > 0
"""
MOVE = """
with moved as (update stock set on_hand = on_hand + $2, version = version + 1 where sku = $1 returning sku, on_hand)
insert into movement (sku, kind, delta, on_hand, reason)
select sku, case when $2 > 0 then 'received' else 'adjusted' end, $2, on_hand, $3 from moved
"""
LEDGER = """
select id, at, kind, delta, on_hand, reason, order_id from movement
 where sku = $1 and id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid) order by id desc limit $3
"""


def _not_nothing(delta: int) -> int:
    if not delta:
        raise ValueError("must not be 0")
    return delta


class Stock(Model):
    """Pieces of one SKU: `on_hand` there, `reserved` of them promised; `version` is one more with every change."""

    sku = fields.CharField(max_length=64, primary_key=True)
    on_hand = fields.IntField(default=0)
    reserved = fields.IntField(default=0)
    low_threshold = fields.IntField(default=0)
    version = fields.BigIntField(default=1)

    class Meta:
        """Schema products."""

        table = "stock"


class Movement(Model):
    """One line of the ledger: `delta` pieces came or went, `on_hand` were there afterwards. A SKU's deltas add up to its stock."""

    id = fields.UUIDField(primary_key=True, db_default=SqlDefault("uuidv7()"))
    sku = fields.CharField(max_length=64)
    # not now(): that is when the transaction began to wait for the row
    at = fields.DatetimeField(db_default=SqlDefault("clock_timestamp()"))
    kind = fields.CharField(max_length=8)
    delta = fields.IntField()
    on_hand = fields.IntField()
    reason = fields.CharField(max_length=500, null=True)
    order_id = fields.UUIDField(null=True)

    class Meta:
        """Schema products."""

        table = "movement"
        indexes = (("sku", "id"),)


class Adjustment(Value):
    """Pieces to add (positive) or take (negative), and why."""

    delta: Annotated[int, Field(strict=True, ge=-MAXIMUM_STOCK, le=MAXIMUM_STOCK), AfterValidator(_not_nothing)]
    reason: Reason


async def begin(sku: str, on_hand: int, low_threshold: int) -> None:
    """A new SKU with this much of it, in the transaction under way."""
    await fetch("products", BEGIN, sku, on_hand, low_threshold)


async def read(sku: str) -> dict[str, Any]:
    """How much there is of a SKU. Raises NotFound."""
    return _known(await fetch("products", READ, sku))


async def set_threshold(sku: str, low_threshold: int) -> bool:
    """From how many pieces on stock counts as low; whether that is a change. In the transaction under way."""
    return bool(await fetch("products", THRESHOLD, sku, low_threshold))


async def adjust(user_id: UUID, key: str, sku: str, adjustment: Adjustment) -> Answer:
    """Add pieces or take them, under an idempotency key if there is one; gives the stock after it.

    Raises NotFound, FailedPrecondition (`insufficient_stock`) where promised pieces would go, and InvalidArgument beyond `MAXIMUM_STOCK`.
    """
    delta, reason = adjustment.delta, adjustment.reason

    async def change() -> dict[str, Any]:
        now = _known(await fetch("products", LOCK, sku))
        if now["available"] + delta < 0:
            short = [{"sku": sku, "requested": -delta, "available": now["available"]}]
            raise FailedPrecondition(f"only {now['available']:,} pieces are free to go", reason="insufficient_stock", short=short)
        if now["on_hand"] + delta > MAXIMUM_STOCK:
            raise InvalidArgument.field("delta", "less_than_equal", f"would be more than {MAXIMUM_STOCK:,} pieces")
        await fetch("products", MOVE, sku, delta, reason)
        return await read(sku)

    return await once("products", user_id, key, fingerprint("AdjustStock", [sku, delta, reason]), change)


async def movements(sku: str, page_size: int, page_token: str) -> tuple[list[asyncpg.Record], str]:
    """A page of the ledger of a SKU, newest first, and the token of the next. Raises NotFound and InvalidArgument."""
    await read(sku)
    limit = paging.size(page_size)
    (seen,) = paging.position(page_token, UUID) or (None,)
    return paging.page(await fetch("products", LEDGER, sku, seen, limit + 1), limit, "id")


def _known(rows: list[asyncpg.Record]) -> dict[str, Any]:
    if not rows:
        raise NotFound("no such product")
    return dict(rows[0])
