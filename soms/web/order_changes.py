"""Leading an order on: cancel and pay (customers), ship, deliver and take back (staff). Part of the noun order."""

from typing import Annotated, Any, Final, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from soms.rpc.gen.soms import v1
from soms.values import MAXIMUM_LINES, Reason, Word
from soms.web.auth import Access
from soms.web.order_shapes import LineItem, Order, merged, order
from soms.web.routes import Answer, Request, route
from soms.web.shapes import Nothing, shape

REFUSALS: Final = ("invalid_transition",)


@shape({"reason": "ordered by mistake"})
class Cancellation(TypedDict):
    """Why the order is called off."""

    reason: NotRequired[Reason | None]


@shape({"reference": "pi_3Nq2"})
class Payment(TypedDict):
    """What the payment is known by elsewhere."""

    reference: NotRequired[Reason | None]


@shape({"carrier": "Royal Mail", "tracking": "QR123456789GB"})
class Shipment(TypedDict):
    """Who carries the goods, and how to find them."""

    carrier: NotRequired[Word | None]
    tracking: NotRequired[Word | None]


@shape({"lines": [{"sku": "TEA-EARL-GREY", "quantity": 1}], "reason": "torn box"})
class Return(TypedDict):
    """What came back, all that is left unless said, and why."""

    lines: NotRequired[Annotated[list[LineItem], Field(min_length=1, max_length=MAXIMUM_LINES)] | None]
    reason: NotRequired[Reason | None]


@route("POST", "/orders/{id}/cancel", Access.CUSTOMER, key="honoured", tagged=True, reasons=REFUSALS)
async def cancel_order(request: Request[Cancellation]) -> Answer[Order]:
    """Call an order off that is placed or paid; its stock is free again."""
    message = v1.CancelOrderRequest(change=_change(request), reason=request.input.get("reason"))
    answer = await request.services.orders.cancel_order(message)
    return order(answer.order, replayed=answer.replayed)


@route("POST", "/orders/{id}/pay", Access.CUSTOMER, key="honoured", tagged=True, reasons=REFUSALS)
async def pay_order(request: Request[Payment]) -> Answer[Order]:
    """Mark a placed order paid."""
    message = v1.PayOrderRequest(change=_change(request), reference=request.input.get("reference"))
    answer = await request.services.orders.pay_order(message)
    return order(answer.order, replayed=answer.replayed)


@route("POST", "/orders/{id}/ship", Access.STAFF, key="honoured", tagged=True, reasons=REFUSALS)
async def ship_order(request: Request[Shipment]) -> Answer[Order]:
    """Mark a paid order shipped."""
    message = v1.ShipOrderRequest(
        change=_change(request),
        carrier=request.input.get("carrier"),
        tracking=request.input.get("tracking"),
    )
    answer = await request.services.orders.ship_order(message)
    return order(answer.order, replayed=answer.replayed)


@route("POST", "/orders/{id}/deliver", Access.STAFF, key="honoured", tagged=True, reasons=REFUSALS)
async def deliver_order(request: Request[Nothing]) -> Answer[Order]:
    """Mark a shipped order delivered."""
    answer = await request.services.orders.deliver_order(v1.DeliverOrderRequest(change=_change(request)))
    return order(answer.order, replayed=answer.replayed)


@route("POST", "/orders/{id}/return", Access.STAFF, key="honoured", tagged=True, reasons=(*REFUSALS, "over_return", "unknown_sku"))
async def return_order(request: Request[Return]) -> Answer[Order]:
    """Take goods of a delivered order back, in part or all; the last ones make the order returned."""
    message = v1.ReturnOrderRequest(
        change=_change(request),
        lines=merged(request.input.get("lines") or []),
        reason=request.input.get("reason"),
    )
    answer = await request.services.orders.return_order(message)
    return order(answer.order, replayed=answer.replayed)


def _change(request: Request[Any]) -> v1.Change:
    return v1.Change(id=request.path["id"], if_version=request.if_version, idempotency_key=request.key)


ROUTES: Final = (cancel_order, pay_order, ship_order, deliver_order, return_order)
