"""Orders: placing one, finding them, and what happened to them. Prices and stock are the services' business."""

from typing import Annotated, Final, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from soms.errors import InvalidArgument, PermissionDenied
from soms.rpc.gen.soms import v1
from soms.values import MAXIMUM_LINES, Note, PostalAddress
from soms.web.auth import Access, rank
from soms.web.order_shapes import STATUSES, LineItem, Order, Status, merged, order, word
from soms.web.paging import Items, Paging
from soms.web.queries import Identifier, Time
from soms.web.routes import Answer, Request, route
from soms.web.shapes import Timestamp, given, shape, timestamp

EXAMPLE: Final = {
    "lines": [{"sku": "TEA-EARL-GREY", "quantity": 2}],
    "shipping_address": {"name": "Ada Lovelace", "line1": "12 St James's Square", "city": "London", "country": "GB"},
}


@shape(EXAMPLE)
class NewOrder(TypedDict):
    """What to order; equal SKUs are merged, the prices are the shop's."""

    lines: Annotated[list[LineItem], Field(min_length=1, max_length=MAXIMUM_LINES)]
    shipping_address: NotRequired[PostalAddress | None]
    note: NotRequired[Note | None]


@shape()
class OrderFilters(Paging, total=False):
    """Which orders to list: where they stand, when they were placed, and whose they are (staff)."""

    status: Status
    from_: Annotated[Time, Field(alias="from", description="Placed then or later.")]
    to: Annotated[Time, Field(description="Placed before.")]
    user_id: Identifier


@shape()
class TimelinePaging(Paging, total=False):
    """Which entries to list."""


class Actor(TypedDict):
    """Who did it: a person by UUID, or a service by name."""

    type: Annotated[str, Field(json_schema_extra={"enum": ["customer", "staff", "service"]})]
    id: str


# `from` is a keyword of Python
TimelineEntry = TypedDict(
    "TimelineEntry",
    {"at": Timestamp, "from": Status | None, "to": Status, "actor": Actor, "note": str | None, "version": int},
)


@route(
    "POST",
    "/orders",
    Access.CUSTOMER,
    status=201,
    key="required",
    tagged=True,
    reasons=("insufficient_stock", "product_inactive", "unknown_sku"),
)
async def place_order(request: Request[NewOrder]) -> Answer[Order]:
    """Place an order: 201 means that the stock is held and the order durable. Repeat with the same key until there is an answer."""
    asked = request.input
    address = asked.get("shipping_address")
    message = v1.PlaceOrderRequest(
        idempotency_key=request.key,
        lines=merged(asked["lines"]),
        shipping_address=v1.ShippingAddress(**dict(address)) if address else None,
        note=asked.get("note"),
    )
    answer = await request.services.orders.place_order(message)
    placed = order(answer.order, replayed=answer.replayed)
    placed.location = f"/orders/{placed.body['id']}"
    return placed


@route("GET", "/orders", Access.CUSTOMER, reasons=("forbidden",))
async def list_orders(request: Request[OrderFilters]) -> Answer[Items[Order]]:
    """Orders, newest first: one's own, for staff everybody's."""
    page, asked = request.page, request.input
    _check_filters(request)
    message = v1.ListOrdersRequest(
        page_size=page.size,
        page_token=page.token,
        status=STATUSES[asked["status"]] if "status" in asked else v1.OrderStatus.UNSPECIFIED,
        from_=asked.get("from_"),
        to=asked.get("to"),
        user_id=asked.get("user_id"),
    )
    answer = await request.services.orders.list_orders(message)
    return Answer(page.of((order(one).body for one in answer.orders), answer.next_page_token))


@route("GET", "/orders/{id}", Access.CUSTOMER, tagged=True)
async def show_order(request: Request[None]) -> Answer[Order]:
    """One order."""
    return order((await request.services.orders.get_order(v1.GetOrderRequest(id=request.path["id"]))).order)


@route("GET", "/orders/{id}/timeline", Access.CUSTOMER)
async def list_timeline(request: Request[TimelinePaging]) -> Answer[Items[TimelineEntry]]:
    """What happened to an order, oldest first."""
    page = request.page
    message = v1.ListTimelineRequest(id=request.path["id"], page_size=page.size, page_token=page.token)
    answer = await request.services.orders.list_timeline(message)
    return Answer(page.of(map(_entry, answer.entries), answer.next_page_token))


def _check_filters(request: Request[OrderFilters]) -> None:
    asked, identity = request.input, given(request.identity)
    if "from_" in asked and "to" in asked and asked["from_"] > asked["to"]:
        raise InvalidArgument("from: must not be after to", reason="invalid_parameter")
    if asked.get("user_id", str(identity.user_id)) != str(identity.user_id) and rank(identity) < Access.STAFF:
        raise PermissionDenied("customers may ask for their own orders alone")


def _entry(entry: v1.TimelineEntry) -> TimelineEntry:
    actor = given(entry.actor)
    return {
        "at": timestamp(entry.at),
        "from": word(entry.from_) if entry.from_ else None,
        "to": word(entry.to),
        "actor": Actor(type=actor.type, id=actor.id),
        "note": entry.note,
        "version": entry.version,
    }


ROUTES: Final = (place_order, list_orders, show_order, list_timeline)
