"""What an order looks like in JSON, and how one is made of the message of the order service. Part of the noun order."""

from typing import Final, Literal

from typing_extensions import TypedDict

from soms.errors import InvalidArgument
from soms.rpc.gen.soms import v1
from soms.values import MAXIMUM_QUANTITY, Quantity, Sku
from soms.web.routes import Answer
from soms.web.shapes import Timestamp, Uuid, Version, given, shape, timestamp

Status = Literal["placed", "paid", "shipped", "delivered", "returned", "cancelled"]
STATUSES: Final[dict[Status, v1.OrderStatus]] = {
    "placed": v1.OrderStatus.PLACED,
    "paid": v1.OrderStatus.PAID,
    "shipped": v1.OrderStatus.SHIPPED,
    "delivered": v1.OrderStatus.DELIVERED,
    "returned": v1.OrderStatus.RETURNED,
    "cancelled": v1.OrderStatus.CANCELLED,
}
WORDS: Final = {int(number): status for status, number in STATUSES.items()}


@shape({"sku": "TEA-EARL-GREY", "quantity": 2})
class LineItem(TypedDict):
    """So many pieces of one SKU."""

    sku: Sku
    quantity: Quantity


class ShippingAddress(TypedDict):
    """Where the goods go, as it was when the order was placed."""

    name: str
    line1: str
    line2: str
    city: str
    region: str
    postal_code: str
    country: str
    phone: str


class OrderLine(TypedDict):
    """One SKU of an order; prices in minor units of the order's currency."""

    sku: str
    name: str
    quantity: int
    returned_quantity: int
    unit_price: int
    total: int


class Order(TypedDict):
    """An order; `number` is for people, `external_number` stands on imported ones, `user_id` is null for a guest."""

    id: Uuid
    number: str
    external_number: str | None
    user_id: Uuid | None
    email: str
    status: Status
    currency: str
    lines: list[OrderLine]
    subtotal: int
    total: int
    shipping_address: ShippingAddress | None
    note: str | None
    version: Version
    created_at: Timestamp
    updated_at: Timestamp


def merged(lines: list[LineItem]) -> list[v1.LineItem]:
    """One line a SKU, sorted; raises InvalidArgument if that makes a quantity too large."""
    quantities: dict[str, int] = {}
    for line in lines:
        quantities[line["sku"]] = quantities.get(line["sku"], 0) + line["quantity"]
    if max(quantities.values(), default=0) > MAXIMUM_QUANTITY:
        raise InvalidArgument.field("lines", "less_than_equal", f"one SKU may come to {MAXIMUM_QUANTITY} pieces in all")
    return [v1.LineItem(sku=sku, quantity=quantities[sku]) for sku in sorted(quantities)]


def word(status: int) -> Status:
    """The status as REST says it."""
    return WORDS[status]


def order(message: v1.Order | None, *, replayed: bool = False) -> Answer[Order]:
    """The answer that shows one order."""
    found = given(message)
    body = Order(
        id=found.id,
        number=found.number,
        external_number=found.external_number,
        user_id=found.user_id,
        email=found.email,
        status=word(found.status),
        currency=found.currency,
        lines=[_line(line) for line in found.lines],
        subtotal=found.subtotal,
        total=found.total,
        shipping_address=_address(found.shipping_address) if found.shipping_address else None,
        note=found.note,
        version=found.version,
        created_at=timestamp(found.created_at),
        updated_at=timestamp(found.updated_at),
    )
    return Answer(body, found.version, replayed=replayed)


def _line(line: v1.OrderLine) -> OrderLine:
    return OrderLine(
        sku=line.sku,
        name=line.name,
        quantity=line.quantity,
        returned_quantity=line.returned_quantity,
        unit_price=line.unit_price,
        total=line.total,
    )


def _address(address: v1.ShippingAddress) -> ShippingAddress:
    return ShippingAddress(
        name=address.name,
        line1=address.line1,
        line2=address.line2,
        city=address.city,
        region=address.region,
        postal_code=address.postal_code,
        country=address.country,
        phone=address.phone,
    )
