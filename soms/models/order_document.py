"""What an order looks like: the document of an order (JSON-able, members as in rest.md), alone, in lists, as an event, and its timeline."""

import datetime as dt
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import asyncpg
import orjson

from soms.errors import NotFound
from soms.events import OrderEvent
from soms.models import paging
from soms.models.database import fetch
from soms.models.order import Status

DOCUMENT = """
select id::text, number, external_number, external_user, user_id::text, email, status, currency, subtotal, total,
       shipping_address::text, note, version, created_at, updated_at,
       (select json_agg(json_build_object('sku', sku, 'name', name, 'quantity', quantity, 'returned_quantity', returned_quantity,
                                          'unit_price', unit_price, 'total', quantity * unit_price) order by position)
          from order_line where order_id = orders.id)::text as lines
  from orders
"""
ONE = DOCUMENT + "where id = $1 and ($2::uuid is null or user_id = $2)"
PAGE = (
    DOCUMENT
    + """
 where ($1::uuid is null or user_id = $1) and ($2::text is null or status = $2)
   and ($3::timestamptz is null or created_at >= $3) and ($4::timestamptz is null or created_at < $4)
   and (created_at, id) < (coalesce($5, 'infinity'::timestamptz), coalesce($6, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
 order by created_at desc, orders.id desc limit $7
"""
)
TIMELINE = """
select version, at, status_from, status_to, actor_type, actor_id, note from timeline
 where order_id = $1 and version > $2 order by version limit $3
"""

Document = dict[str, Any]


class Filter(NamedTuple):
    """Which orders: of one customer, in one status, placed from (inclusive) to (exclusive)."""

    user_id: UUID | None = None
    status: Status | None = None
    start: dt.datetime | None = None
    end: dt.datetime | None = None


def document(row: asyncpg.Record) -> Document:
    """The document of a row of `DOCUMENT`; times become RFC 3339 text."""
    found = dict(row)
    found["lines"] = orjson.loads(found["lines"])
    found["shipping_address"] = orjson.loads(found["shipping_address"]) if found["shipping_address"] else None
    found["created_at"] = found["created_at"].isoformat()
    found["updated_at"] = found["updated_at"].isoformat()
    return found


async def read(order_id: UUID, owner: UUID | None = None) -> Document:
    """One order, of `owner` if given. Raises NotFound for an unknown one and for somebody else's alike."""
    rows = await fetch("orders", ONE, order_id, owner)
    if not rows:
        raise NotFound("no such order")
    return document(rows[0])


async def page(wanted: Filter, page_size: int, page_token: str) -> tuple[list[Document], str]:
    """A page of orders, newest first, and the token of the next. Raises InvalidArgument."""
    limit = paging.size(page_size)
    created_at, order_id = paging.position(page_token, dt.datetime.fromisoformat, UUID) or (None, None)
    rows = await fetch("orders", PAGE, *wanted, created_at, order_id, limit + 1)
    shown, token = paging.page(rows, limit, "created_at", "id")
    return [document(row) for row in shown], token


async def timeline(order_id: UUID, owner: UUID | None, page_size: int, page_token: str) -> tuple[list[asyncpg.Record], str]:
    """What happened to an order, oldest first. Raises NotFound and InvalidArgument."""
    await read(order_id, owner)
    limit = paging.size(page_size)
    (seen,) = paging.position(page_token, int) or (0,)
    return paging.page(await fetch("orders", TIMELINE, order_id, seen, limit + 1), limit, "version")


E = TypeVar("E", bound=OrderEvent)


def order_event(kind: type[E], document: Document, **more: Any) -> E:
    """An event of an order out of its document."""
    address = document["shipping_address"] or {}
    placed_at, at = document["created_at"], document["updated_at"]
    return kind.model_validate(
        {**document, "order_id": document["id"], "country": address.get("country") or None, "placed_at": placed_at, "at": at, **more}
    )
