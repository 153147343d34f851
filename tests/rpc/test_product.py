"""The product service over the wire: who may call what, what it converts, what it refuses and by which name."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from soms import tokens
from soms.config import Settings
from soms.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    SomsError,
    Unauthenticated,
)
from soms.rpc.channel import Channel
from soms.rpc.errors import from_wire
from soms.rpc.gen.soms import v1
from soms.rpc.product import ProductServicer
from soms.rpc.server import serving

STAFF = UUID("018f0000-0000-7000-8000-000000000002")
TEA = v1.CreateProductRequest("TEA-1", "Earl Grey", "", "tea", 850, "GBP", 10, 3)
CALLERS = ("nobody", "customer", "staff", "admin", "service")
STAFF_ONLY = {"staff", "admin"}
MESSAGES: dict[str, tuple[Any, set[str]]] = {
    "create_product": (v1.CreateProductRequest("NEW", "New", "", None, 1, "GBP"), STAFF_ONLY),
    "get_product": (v1.GetProductRequest("TEA-1"), set(CALLERS)),
    "list_products": (v1.ListProductsRequest(), set(CALLERS)),
    "update_product": (v1.UpdateProductRequest("TEA-1", price=851), STAFF_ONLY),
    "list_prices": (v1.ListPricesRequest("TEA-1"), set(CALLERS)),
    "get_stock": (v1.GetStockRequest("TEA-1"), STAFF_ONLY),
    "adjust_stock": (v1.AdjustStockRequest("TEA-1", 1, "counted"), STAFF_ONLY),
    "list_movements": (v1.ListMovementsRequest("TEA-1"), STAFF_ONLY),
    "reserve_stock": (v1.ReserveStockRequest(), {"service"}),
    "settle_stock": (v1.SettleStockRequest(), {"service"}),
}


class Products:
    """A client of the service, in many roles."""

    def __init__(self, stub: v1.ProductServiceStub, settings: Settings) -> None:
        signer = tokens.Signer(settings)
        self._stub = stub
        self._tokens = {role: signer.access_token(STAFF, {role}) for role in ("customer", "staff", "admin")}
        self._tokens["service"] = tokens.service_token(settings, "order")

    async def call(self, method: str, message: Any, caller: str = "staff") -> Any:
        """The answer, or the exception of SOMS."""
        metadata = {"authorization": f"Bearer {self._tokens[caller]}"} if caller in self._tokens else {}
        try:
            return await getattr(self._stub, method)(message, metadata=metadata, timeout=8)
        except Exception as error:
            raise from_wire(error) from error

    async def refusal(self, method: str, message: Any, caller: str = "staff") -> SomsError:
        """The exception of SOMS."""
        with pytest.raises(SomsError) as caught:
            await self.call(method, message, caller)
        return caught.value


@pytest.fixture
async def products(database: None, settings: Settings) -> AsyncIterator[Products]:
    """The service with one tea in it, called through a plain channel."""
    async with (
        serving(ProductServicer(), settings) as server,
        Channel("127.0.0.1", server.port) as channel,
    ):
        client = Products(v1.ProductServiceStub(channel), settings)
        await client.call("create_product", TEA)
        yield client


@pytest.mark.parametrize("method", MESSAGES)
@pytest.mark.parametrize("caller", CALLERS)
async def test_who_may_call_what(products: Products, method: str, caller: str) -> None:
    """Reading the catalogue is for anyone, changing it for staff, holding stock for services."""
    message, allowed = MESSAGES[method]
    if caller in allowed:
        await products.call(method, message, caller)
    else:
        refusal = await products.refusal(method, message, caller)
        # the token of a service is no token where only people may call
        assert type(refusal) is (Unauthenticated if caller in {"nobody", "service"} else PermissionDenied)


async def test_catalogue(products: Products) -> None:
    """A product is created, read, found, changed; its prices are listed newest first."""
    product = (await products.call("get_product", v1.GetProductRequest("TEA-1"), "nobody")).product
    assert product == v1.Product("TEA-1", "Earl Grey", "", "tea", 850, "GBP", 10, active=True, version=1)

    changed = (await products.call("update_product", v1.UpdateProductRequest("TEA-1", 1, price=0, category="", active=False))).product
    assert changed == v1.Product("TEA-1", "Earl Grey", "", None, 0, "GBP", 10, active=False, version=2)
    prices = (await products.call("list_prices", v1.ListPricesRequest("TEA-1", 1), "nobody")).prices
    assert [(price.price, price.currency, price.from_ is not None) for price in prices] == [(0, "GBP", True)]
    assert (await products.call("list_products", v1.ListProductsRequest(query="GREY", active=False))).products == [changed]
    assert (await products.call("list_products", v1.ListProductsRequest(query="grey", in_stock=False))).products == []


async def test_pages(products: Products) -> None:
    """Tokens lead from page to page until one is empty."""
    for n in range(4):
        await products.call("create_product", v1.CreateProductRequest(f"S{n}", "n", "", None, 1, "GBP"))
    seen, token = [], ""
    for _ in range(5):
        page = await products.call("list_products", v1.ListProductsRequest(page_size=2, page_token=token), "nobody")
        seen += [product.sku for product in page.products]
        if not (token := page.next_page_token):
            break

    assert seen == ["S3", "S2", "S1", "S0", "TEA-1"]


async def test_stock(products: Products) -> None:
    """Stock is read and adjusted under a key; the ledger shows it."""
    message = v1.AdjustStockRequest("TEA-1", -4, "broken", "key-1")
    first, again = await products.call("adjust_stock", message), await products.call("adjust_stock", message)

    assert first.stock == again.stock == v1.Stock("TEA-1", 6, 0, 6, 3)
    assert (first.replayed, again.replayed) == (False, True)
    assert (await products.call("get_stock", v1.GetStockRequest("TEA-1"))).stock == first.stock
    movements = (await products.call("list_movements", v1.ListMovementsRequest("TEA-1"))).movements
    assert [(m.kind, m.delta, m.on_hand, m.reason, m.order_id) for m in movements] == [
        ("adjusted", -4, 6, "broken", None),
        ("received", 10, 10, "initial stock", None),
    ]


async def test_reserve_and_settle(products: Products) -> None:
    """A round's outcomes come in the order sent; settling takes the goods off the shelf and tells the ledger of the order."""
    fine, short = str(uuid4()), str(uuid4())
    asked = [v1.Reservation(short, [v1.ReservationLine("TEA-1", 11)]), v1.Reservation(fine, [v1.ReservationLine("TEA-1", 4)])]

    outcomes = (await products.call("reserve_stock", v1.ReserveStockRequest(asked), "service")).outcomes
    await products.call(
        "settle_stock", v1.SettleStockRequest([v1.Settlement(fine, 3, "shipped", [v1.ReturnedLine("TEA-1", 1)])]), "service"
    )

    assert outcomes == [
        v1.ReservationOutcome(short, short=[v1.Shortage("TEA-1", 11, 10)]),
        v1.ReservationOutcome(fine, [v1.ReservedLine("TEA-1", 4, "Earl Grey", 850, "GBP")]),
    ]
    movements = (await products.call("list_movements", v1.ListMovementsRequest("TEA-1"))).movements
    assert [(m.kind, m.delta, m.order_id) for m in movements[:2]] == [("returned", 1, fine), ("shipped", -4, fine)]
    strange = v1.ReserveStockRequest([v1.Reservation(fine, [v1.ReservationLine("TEA-1", 5)])])
    assert (await products.call("reserve_stock", strange, "service")).outcomes[0].mismatch


@pytest.mark.parametrize(
    ("method", "message", "error", "reason"),
    [
        ("create_product", TEA, AlreadyExists, "sku_taken"),
        ("get_product", v1.GetProductRequest("nope"), NotFound, "not_found"),
        ("get_product", v1.GetProductRequest("a\x00/"), NotFound, "not_found"),
        ("get_stock", v1.GetStockRequest(""), NotFound, "not_found"),
        ("list_prices", v1.ListPricesRequest("nope"), NotFound, "not_found"),
        ("update_product", v1.UpdateProductRequest("TEA-1", if_version=7, price=1), Aborted, "stale_version"),
        ("adjust_stock", v1.AdjustStockRequest("TEA-1", -11, "gone"), FailedPrecondition, "insufficient_stock"),
        ("list_products", v1.ListProductsRequest(page_size=101), InvalidArgument, "invalid_parameter"),
        ("list_products", v1.ListProductsRequest(page_size=-1), InvalidArgument, "invalid_parameter"),
        ("list_products", v1.ListProductsRequest(page_token="x"), InvalidArgument, "invalid_parameter"),
    ],
)
async def test_refusals(products: Products, method: str, message: Any, error: type[SomsError], reason: str) -> None:
    """Each refusal has its status and its reason."""
    refusal = await products.refusal(method, message)

    assert (type(refusal), refusal.reason) == (error, reason)


ORDER = str(uuid4())
LINE = v1.ReservationLine("TEA-1", 1)


@pytest.mark.parametrize(
    ("method", "message", "field"),
    [
        ("create_product", v1.CreateProductRequest("a/b", "n", "", None, 1, "GBP"), "sku"),
        ("create_product", v1.CreateProductRequest("a", "", "", None, 1, "GBP"), "name"),
        ("create_product", v1.CreateProductRequest("a", "n", "", "", 1, "GBP"), "category"),
        ("create_product", v1.CreateProductRequest("a", "n", "", None, -1, "GBP"), "price"),
        ("create_product", v1.CreateProductRequest("a", "n", "", None, 1, "pounds"), "currency"),
        ("create_product", v1.CreateProductRequest("a", "n", "", None, 1, "GBP", 2**40), "on_hand"),
        ("create_product", v1.CreateProductRequest("a", "n", "", None, 1, "GBP", idempotency_key="a b"), "idempotency_key"),
        ("update_product", v1.UpdateProductRequest("TEA-1", name=""), "name"),
        ("update_product", v1.UpdateProductRequest("TEA-1", low_threshold=-1), "low_threshold"),
        ("adjust_stock", v1.AdjustStockRequest("TEA-1", 0, "r"), "delta"),
        ("adjust_stock", v1.AdjustStockRequest("TEA-1", 1, " "), "reason"),
        ("adjust_stock", v1.AdjustStockRequest("TEA-1", 1_000_000_000, "r"), "delta"),
        ("list_products", v1.ListProductsRequest(query="\x00"), "q"),
        ("list_products", v1.ListProductsRequest(category="\n"), "category"),
        ("reserve_stock", v1.ReserveStockRequest([v1.Reservation("x", [LINE])]), "0.order_id"),
        ("reserve_stock", v1.ReserveStockRequest([v1.Reservation(ORDER, [])]), "0.lines"),
        ("reserve_stock", v1.ReserveStockRequest([v1.Reservation(ORDER, [v1.ReservationLine("TEA-1", 0)])]), "0.lines.TEA-1"),
        ("reserve_stock", v1.ReserveStockRequest([v1.Reservation(ORDER, [LINE, LINE])]), "lines"),
        ("reserve_stock", v1.ReserveStockRequest([v1.Reservation(ORDER, [LINE])] * 2), "reservations"),
        ("reserve_stock", v1.ReserveStockRequest([v1.Reservation(str(uuid4()), [LINE]) for _ in range(33)]), "reservations"),
        ("settle_stock", v1.SettleStockRequest([v1.Settlement(ORDER, 1, "lost")]), "0.status"),
        ("settle_stock", v1.SettleStockRequest([v1.Settlement(ORDER, -1, "paid")]), "0.version"),
        ("settle_stock", v1.SettleStockRequest([v1.Settlement(ORDER, 1, "paid")] * 501), "settlements"),
    ],
)
async def test_bad_input(products: Products, method: str, message: Any, field: str) -> None:
    """What makes no sense is refused by the name of its field."""
    refusal = await products.refusal(method, message, "service" if method.startswith(("reserve", "settle")) else "staff")

    assert (type(refusal), refusal.reason) == (InvalidArgument, "validation_failed")
    assert [item["field"] for item in refusal.details["errors"]] == [field]
