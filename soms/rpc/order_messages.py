"""Orders on the wire: documents of the domain to messages of `soms.v1`, and requests to values of the domain."""

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field

from soms.errors import InvalidArgument, NotFound
from soms.models.order import Status
from soms.models.order_document import Document
from soms.rpc.gen.soms import v1
from soms.values import MAXIMUM_LINES, MAXIMUM_QUANTITY, IdempotencyKey, Note, PostalAddress, Quantity, Reason, Sku, Value, Word

STATUSES = {status: v1.OrderStatus[status.name] for status in Status}


class Line(Value):
    """So many pieces of one SKU."""

    sku: Sku
    quantity: Quantity


class PlaceOrder(Value):
    """What a customer asks for, within the bounds of rest.md."""

    idempotency_key: IdempotencyKey
    lines: Annotated[list[Line], Field(min_length=1, max_length=MAXIMUM_LINES)]
    shipping_address: PostalAddress | None = None
    note: Note | None = None


class Remarks(Value):
    """What may be said about a change of an order."""

    idempotency_key: IdempotencyKey | None = None
    reason: Reason | None = None
    reference: Reason | None = None
    carrier: Word | None = None
    tracking: Word | None = None
    lines: Annotated[tuple[Line, ...], Field(max_length=MAXIMUM_LINES)] = ()


def members(message: Any, *names: str) -> dict[str, Any]:
    """The named members of a message that are there, nested messages as dictionaries."""
    found = {name: getattr(message, name) for name in names}
    return {name: _plain(value) for name, value in found.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    return value


def merged(lines: Iterable[Line]) -> tuple[tuple[str, int], ...]:
    """Pieces by SKU, sorted by SKU. Raises InvalidArgument where equal SKUs add up beyond the bound."""
    pieces = Counter[str]()
    for line in lines:
        pieces[line.sku] += line.quantity
    if any(quantity > MAXIMUM_QUANTITY for quantity in pieces.values()):
        raise InvalidArgument.field("lines", "less_than_equal", f"of one SKU at most {MAXIMUM_QUANTITY:,} pieces")
    return tuple(sorted(pieces.items()))


def identity(text: str) -> UUID:
    """The id of an order; what is no UUID is the id of none. Raises NotFound."""
    try:
        return UUID(text)
    except ValueError as cause:
        raise NotFound("no such order") from cause


def order(document: Document) -> v1.Order:
    """The message of an order's document."""
    address = document["shipping_address"]
    return v1.Order(
        id=document["id"],
        number=document["number"],
        external_number=document["external_number"],
        user_id=document["user_id"],
        email=document["email"],
        status=STATUSES[document["status"]],
        currency=document["currency"],
        lines=[v1.OrderLine(**line) for line in document["lines"]],
        subtotal=document["subtotal"],
        total=document["total"],
        shipping_address=v1.ShippingAddress(**address) if address else None,
        note=document["note"],
        version=document["version"],
        created_at=dt.datetime.fromisoformat(document["created_at"]),
        updated_at=dt.datetime.fromisoformat(document["updated_at"]),
    )


def timeline_entry(row: Any) -> v1.TimelineEntry:
    """The message of a timeline row."""
    return v1.TimelineEntry(
        at=row["at"],
        from_=STATUSES[row["status_from"]] if row["status_from"] else v1.OrderStatus.UNSPECIFIED,
        to=STATUSES[row["status_to"]],
        actor=v1.Actor(row["actor_type"], row["actor_id"]),
        note=row["note"],
        version=row["version"],
    )


def status(value: v1.OrderStatus) -> Status | None:
    """The status asked for, or None for all. Raises InvalidArgument for a number that names none."""
    if value == v1.OrderStatus.UNSPECIFIED:
        return None
    found = next((known for known, word in STATUSES.items() if word == value), None)
    if found is None:
        raise InvalidArgument("no such status", reason="invalid_parameter", parameter="status")
    return found
