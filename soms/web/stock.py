"""Stock of a product: how much is there, changing it, and the ledger of all that moved."""

from typing import Annotated, Final

from pydantic import Field
from typing_extensions import TypedDict

from soms.errors import InvalidArgument
from soms.rpc.gen.soms import v1
from soms.values import MAXIMUM_STOCK, Reason
from soms.web import idempotency
from soms.web.auth import Access
from soms.web.paging import Items, Paging
from soms.web.routes import Answer, Request, route
from soms.web.shapes import Timestamp, Uuid, given, shape, timestamp


@shape({"delta": 25, "reason": "delivery of 22 November"})
class Adjustment(TypedDict):
    """Pieces to add (positive) or take (negative, never below what is reserved); not 0."""

    delta: Annotated[int, Field(ge=-MAXIMUM_STOCK, le=MAXIMUM_STOCK, json_schema_extra={"not": {"const": 0}})]
    reason: Reason


@shape()
class MovementPaging(Paging, total=False):
    """Which movements to list."""


class Stock(TypedDict):
    """Stock in pieces; `available` is what is there less what is promised to orders."""

    sku: str
    on_hand: int
    reserved: int
    available: int
    low_threshold: int


class Movement(TypedDict):
    """One line of the ledger: pieces added or taken, and how many were there afterwards."""

    id: Uuid
    at: Timestamp
    kind: Annotated[str, Field(json_schema_extra={"enum": ["received", "adjusted", "shipped", "returned"]})]
    delta: int
    on_hand: int
    reason: str | None
    order_id: Uuid | None


@route("GET", "/products/{sku}/stock", Access.STAFF)
async def show_stock(request: Request[None]) -> Answer[Stock]:
    """How much is there, and how much of it is reserved."""
    return Answer(_stock((await request.services.products.get_stock(v1.GetStockRequest(sku=request.path["sku"]))).stock))


@route("POST", "/products/{sku}/stock", Access.STAFF, key="honoured", reasons=("insufficient_stock",))
async def adjust_stock(request: Request[Adjustment]) -> Answer[Stock]:
    """Add to what is there or take from it."""
    if request.input["delta"] == 0:
        raise InvalidArgument.field("delta", "invalid", "must not be 0")
    message = v1.AdjustStockRequest(sku=request.path["sku"], idempotency_key=await idempotency.claim(request), **request.input)
    answer = await request.services.products.adjust_stock(message)
    return Answer(_stock(answer.stock), replayed=answer.replayed)


@route("GET", "/products/{sku}/movements", Access.STAFF)
async def list_movements(request: Request[MovementPaging]) -> Answer[Items[Movement]]:
    """The ledger, newest first; its deltas add up to what is there."""
    page = request.page
    message = v1.ListMovementsRequest(sku=request.path["sku"], page_size=page.size, page_token=page.token)
    answer = await request.services.products.list_movements(message)
    return Answer(page.of(map(_movement, answer.movements), answer.next_page_token))


def _stock(message: v1.Stock | None) -> Stock:
    stock = given(message)
    return Stock(
        sku=stock.sku,
        on_hand=stock.on_hand,
        reserved=stock.reserved,
        available=stock.available,
        low_threshold=stock.low_threshold,
    )


def _movement(movement: v1.Movement) -> Movement:
    return Movement(
        id=movement.id,
        at=timestamp(movement.at),
        kind=movement.kind,
        delta=movement.delta,
        on_hand=movement.on_hand,
        reason=movement.reason,
        order_id=movement.order_id,
    )


ROUTES: Final = (show_stock, adjust_stock, list_movements)
