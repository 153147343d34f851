"""Orders that staff enter for a customer or a guest, at prices of their own where need be. Part of the noun order."""

from typing import Annotated, Final, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from soms.errors import InvalidArgument
from soms.rpc.gen.soms import v1
from soms.values import MAXIMUM_ENTRY_LINES, Email, Note, PostalAddress, Price, Quantity, Reason, Sku
from soms.web.auth import Access
from soms.web.order_shapes import Order, order
from soms.web.queries import Identifier
from soms.web.routes import Answer, Request, route
from soms.web.shapes import shape

# 10,000 lines; a message to the order service may have as much
BODY_LIMIT_BYTES: Final = 1024 * 1024
ENTRY_SECONDS: Final = 10.0
EXAMPLE: Final = {
    "email": "ada@example.org",
    "lines": [{"sku": "TEA-EARL-GREY", "quantity": 2}, {"sku": "TEA-EARL-GREY", "quantity": 1, "unit_price": 0}],
    "reason": "one as a present, as agreed on the telephone",
}


@shape()
class EntryLine(TypedDict):
    """So many pieces of one SKU, at the catalogue's price unless `unit_price` says another."""

    sku: Sku
    quantity: Quantity
    unit_price: NotRequired[Price | None]


@shape(EXAMPLE)
class OrderEntry(TypedDict):
    """Whose order it is, and what they order: a `user_id`, or an `email` alone for a guest. Lines stay as sent."""

    user_id: NotRequired[Identifier | None]
    email: NotRequired[Email | None]
    lines: Annotated[list[EntryLine], Field(min_length=1, max_length=MAXIMUM_ENTRY_LINES)]
    shipping_address: NotRequired[PostalAddress | None]
    note: NotRequired[Note | None]
    reason: NotRequired[Reason | None]


@route(
    "POST",
    "/orders/entry",
    Access.STAFF,
    status=201,
    key="honoured",
    tagged=True,
    seconds=ENTRY_SECONDS,
    body_bytes=BODY_LIMIT_BYTES,
    reasons=("insufficient_stock", "product_inactive", "unknown_sku", "unknown_user"),
)
async def enter_order(request: Request[OrderEntry]) -> Answer[Order]:
    """Place an order for a customer or a guest; its stock is held, and the reason stands in its timeline."""
    asked = request.input
    user_id, email, address = asked.get("user_id"), asked.get("email"), asked.get("shipping_address")
    if not user_id and not email:
        raise InvalidArgument.field("user_id", "customer_needed", "say whose order it is: user_id, or email for a guest")
    message = v1.EnterOrderRequest(
        idempotency_key=request.key,
        user_id=user_id,
        email=email,
        lines=[v1.EntryLine(line["sku"], line["quantity"], line.get("unit_price")) for line in asked["lines"]],
        shipping_address=v1.ShippingAddress(**dict(address)) if address else None,
        note=asked.get("note"),
        reason=asked.get("reason"),
    )
    answer = await request.services.orders.enter_order(message)
    placed = order(answer.order, replayed=answer.replayed)
    placed.location = f"/orders/{placed.body['id']}"
    return placed


ROUTES: Final = (enter_order,)
