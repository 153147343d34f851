"""Every fact that SOMS tells on Kafka: its CloudEvents type, topic, key and JSON value.

A fact is written to the outbox with the change it tells of. It carries what a consumer needs without asking back. Members may be
added; a reader ignores those it does not know. A change that is more than that is a new `.v2` type beside the old one.
"""

import contextvars
import datetime as dt
from typing import ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from soms import order_payload

# W3C trace context of the request under way, handed on with every event
traceparent: contextvars.ContextVar[str | None] = contextvars.ContextVar("traceparent", default=None)


class Event(BaseModel):
    """One fact; `version` is its aggregate's version after the change, so that readers can tell old from new."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    topic: ClassVar[str]
    type: ClassVar[str]
    version: int

    @property
    def key(self) -> str:
        """Events of one key keep their order."""
        raise LookupError(type(self).__name__)

    @property
    def payload(self) -> str:
        """The value on Kafka: JSON text."""
        return self.model_dump_json()


class EventLine(BaseModel):
    """A line of an order; money in minor units of the order's currency. The name is short or missing in an order of thousands of lines."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    sku: str
    name: str = ""
    quantity: int
    returned_quantity: int = 0
    unit_price: int


class OrderEvent(Event):
    """A fact of an order, with the order as it stands after it; `total` in minor units of `currency`."""

    topic = "soms.orders"
    order_id: UUID
    number: str
    # of an order that another system took and this one imported
    external_number: str | None = None
    # who ordered, as that system knows them
    external_user: str | None = None
    status: str
    user_id: UUID | None
    email: str
    currency: str
    total: int
    lines: list[EventLine]
    country: str | None = None
    placed_at: dt.datetime
    at: dt.datetime

    @property
    def key(self) -> str:
        """The order's id."""
        return str(self.order_id)

    @property
    def payload(self) -> str:
        """The value on Kafka; raises ResourceExhausted (`too_large`) for an order of more lines than can be told."""
        return order_payload.payload(self, self.lines)


class OrderPlaced(OrderEvent):
    """Stock is held and the order durable."""

    type = "soms.order.placed.v1"


class OrderPaid(OrderEvent):
    """The money is there."""

    type = "soms.order.paid.v1"
    reference: str | None = None


class OrderShipped(OrderEvent):
    """The goods left."""

    type = "soms.order.shipped.v1"
    carrier: str | None = None
    tracking: str | None = None


class OrderDelivered(OrderEvent):
    """The goods arrived."""

    type = "soms.order.delivered.v1"


class OrderCancelled(OrderEvent):
    """The order is called off; its stock is free again."""

    type = "soms.order.cancelled.v1"
    reason: str | None = None


class ReturnedLine(BaseModel):
    """Pieces of one SKU that came back this time."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    sku: str
    quantity: int


class OrderReturned(OrderEvent):
    """Goods came back: `returned` this time, `lines[].returned_quantity` in all."""

    type = "soms.order.returned.v1"
    returned: list[ReturnedLine]
    reason: str | None = None


class ProductEvent(Event):
    """A fact of a product."""

    topic = "soms.products"
    sku: str
    name: str

    @property
    def key(self) -> str:
        """The SKU."""
        return self.sku


class ProductCreated(ProductEvent):
    """There is something new to sell; `price` in minor units."""

    type = "soms.product.created.v1"
    category: str | None
    price: int
    currency: str
    active: bool


class ProductUpdated(ProductCreated):
    """The catalogue entry changed."""

    type = "soms.product.updated.v1"


class ProductPriceChanged(ProductEvent):
    """The price changed; both in minor units."""

    type = "soms.product.price_changed.v1"
    price: int
    currency: str
    old_price: int
    old_currency: str


class StockLow(ProductEvent):
    """Availability fell to the threshold or below, in pieces; `version` counts changes of the SKU's stock, not of its catalogue entry."""

    type = "soms.product.stock_low.v1"
    available: int
    low_threshold: int


class StockBack(StockLow):
    """Availability rose above the threshold again."""

    type = "soms.product.stock_back.v1"


class UserEvent(Event):
    """A fact of a person."""

    topic = "soms.users"
    user_id: UUID

    @property
    def key(self) -> str:
        """The person's id."""
        return str(self.user_id)


class UserRegistered(UserEvent):
    """Somebody joined."""

    type = "soms.user.registered.v1"
    email: str
    name: str


class UserUpdated(UserEvent):
    """A profile, its roles or its preferences changed."""

    type = "soms.user.updated.v1"
    email: str
    name: str
    roles: list[str]


class UserAnonymised(UserEvent):
    """Somebody asked to be forgotten; what is kept about them elsewhere goes too."""

    type = "soms.user.anonymised.v1"


class UserPasswordReset(UserEvent):
    """Somebody asked for a new password; `token` goes to their mailbox and nowhere else."""

    type = "soms.user.password_reset.v1"
    email: str
    token: str
    expires_at: dt.datetime
