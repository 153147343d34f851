"""An order on its way: what was asked for, by a customer or by staff, and what it will be once its lines are reserved."""

import datetime as dt
from dataclasses import dataclass, field, replace
from functools import cached_property
from uuid import UUID

from soms.events import OrderPlaced
from soms.models.idempotency import fingerprint
from soms.models.order import Status
from soms.models.order_document import Document, order_event


@dataclass(frozen=True)
class Entry:
    """What staff enter for a customer, or for a guest by `email`: lines as sent, of SKU, pieces, and price if not the catalogue's."""

    customer: UUID | None
    email: str | None
    lines: tuple[tuple[str, int, int | None], ...]
    reason: str | None = None


@dataclass(frozen=True)
class Placement:
    """What is asked for: `lines` are SKU and pieces, each SKU once, sorted by SKU.

    `user_id` is the account that asks and whose key it is: the customer, or the staff who make an `entry`. `email` is the customer's.
    """

    user_id: UUID
    email: str
    key: str
    lines: tuple[tuple[str, int], ...]
    shipping_address: dict[str, str] | None = None
    note: str | None = None
    request_id: str | None = None
    traceparent: str | None = None
    entry: Entry | None = None

    @cached_property
    def fingerprint(self) -> bytes:
        """The same for requests that mean the same."""
        if entry := self.entry:
            said = [entry.customer, entry.email, entry.lines, self.shipping_address, self.note, entry.reason]
            return fingerprint("EnterOrder", said)
        return fingerprint("PlaceOrder", [self.lines, self.shipping_address, self.note])


@dataclass(frozen=True)
class ReservedLine:
    """A line whose stock is held, with name and price (minor units) as of then."""

    sku: str
    quantity: int
    name: str
    unit_price: int
    currency: str


@dataclass
class Draft:
    """An order on its way: its id, number and moment, and its lines once they are reserved."""

    placement: Placement
    order_id: UUID
    number: str
    at: dt.datetime
    lines: list[ReservedLine] = field(default_factory=list)

    @cached_property
    def priced(self) -> list[ReservedLine]:
        """The lines of the order: those that were reserved, or what staff made of them."""
        if self.placement.entry is None:
            return self.lines
        held = {line.sku: line for line in self.lines}
        return [
            replace(held[sku], quantity=quantity, unit_price=held[sku].unit_price if price is None else price)
            for sku, quantity, price in self.placement.entry.lines
        ]

    @property
    def customer(self) -> UUID | None:
        """Whose order it is; nobody's account for a guest."""
        entry = self.placement.entry
        return entry.customer if entry else self.placement.user_id

    @cached_property
    def document(self) -> Document:
        """The order as it is placed and answered."""
        lines = [
            {
                "sku": line.sku,
                "name": line.name,
                "quantity": line.quantity,
                "returned_quantity": 0,
                "unit_price": line.unit_price,
                "total": line.quantity * line.unit_price,
            }
            for line in self.priced
        ]
        total = sum(line.quantity * line.unit_price for line in self.priced)
        at = self.at.isoformat()
        return {
            "id": str(self.order_id),
            "number": self.number,
            "external_number": None,
            "external_user": None,
            "user_id": str(self.customer) if self.customer else None,
            "email": self.placement.email,
            "status": Status.PLACED.value,
            "currency": self.lines[0].currency,
            "lines": lines,
            "subtotal": total,
            "total": total,
            "shipping_address": self.placement.shipping_address,
            "note": self.placement.note,
            "version": 1,
            "created_at": at,
            "updated_at": at,
        }

    @property
    def event(self) -> OrderPlaced:
        """What Kafka hears of it."""
        return order_event(OrderPlaced, self.document)
