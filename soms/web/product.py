"""The catalogue: products and the history of their prices."""

from typing import Annotated, Any, Final, NotRequired
from urllib.parse import quote

from pydantic import Field
from typing_extensions import TypedDict

from soms.rpc.gen.soms import v1
from soms.values import Currency, Line, OptionalLine, Price, Sku, StockCount, Text, Word
from soms.web import idempotency
from soms.web.auth import Access
from soms.web.paging import Items, Paging
from soms.web.queries import Flag
from soms.web.routes import Answer, Request, route
from soms.web.shapes import Timestamp, Version, filled, given, shape, timestamp

EXAMPLE: Final = {"sku": "TEA-EARL-GREY", "name": "Earl Grey, 100 g", "price": 850, "currency": "GBP", "category": "tea", "on_hand": 120}


@shape(EXAMPLE)
class NewProduct(TypedDict):
    """A product to sell; the price is in minor units, `low_threshold` is where stock counts as low."""

    sku: Sku
    name: Line
    price: Price
    currency: Currency
    description: NotRequired[Text | None]
    category: NotRequired[Word | None]
    on_hand: NotRequired[StockCount]
    low_threshold: NotRequired[StockCount]


@shape({"price": 900, "active": True})
class ProductChanges(TypedDict, total=False):
    """What shall change; null empties the description and takes the category away."""

    name: Line
    description: Text | None
    category: Word | None
    price: Price
    currency: Currency
    active: bool
    low_threshold: StockCount


@shape()
class ProductFilters(Paging, total=False):
    """Which products to list; `q` looks into SKU, name and description."""

    q: OptionalLine
    category: Word
    in_stock: Flag
    active: Flag


@shape()
class PricePaging(Paging, total=False):
    """Which prices to list."""


class Product(TypedDict):
    """A product; a new `version` tells of the catalogue entry alone, `available` moves without."""

    sku: str
    name: str
    description: str
    category: str | None
    price: Annotated[int, Field(description="Minor units of the currency.")]
    currency: str
    available: Annotated[int, Field(description="Pieces; may lag a second.")]
    active: bool
    version: Version


# `from` is a keyword of Python
PriceChange = TypedDict("PriceChange", {"price": int, "currency": str, "from": Timestamp})


@route("GET", "/products", Access.ANYONE)
async def list_products(request: Request[ProductFilters]) -> Answer[Items[Product]]:
    """The catalogue, newest first."""
    page, asked = request.page, request.input
    message = v1.ListProductsRequest(
        page_size=page.size,
        page_token=page.token,
        query=asked.get("q", ""),
        category=asked.get("category"),
        in_stock=asked.get("in_stock"),
        active=asked.get("active"),
    )
    answer = await request.services.products.list_products(message)
    return Answer(page.of((_product(product).body for product in answer.products), answer.next_page_token))


@route("GET", "/products/{sku}", Access.ANYONE, tagged=True)
async def show_product(request: Request[None]) -> Answer[Product]:
    """One product."""
    return _product((await request.services.products.get_product(v1.GetProductRequest(sku=request.path["sku"]))).product)


@route("POST", "/products", Access.STAFF, status=201, tagged=True, key="honoured", reasons=("sku_taken",))
async def add_product(request: Request[NewProduct]) -> Answer[Product]:
    """Add a product to the catalogue."""
    members: dict[str, Any] = {name: value for name, value in request.input.items() if value is not None}
    message = v1.CreateProductRequest(idempotency_key=await idempotency.claim(request), **members)
    answer = await request.services.products.create_product(message)
    added = _product(answer.product)
    added.location, added.replayed = f"/products/{quote(added.body['sku'], safe='')}", answer.replayed
    return added


@route("PATCH", "/products/{sku}", Access.STAFF, tagged=True)
async def change_product(request: Request[ProductChanges]) -> Answer[Product]:
    """Change a product; what is left out stays, and a new price goes into the history."""
    message = v1.UpdateProductRequest(sku=request.path["sku"], if_version=request.if_version, **filled(request.input))
    return _product((await request.services.products.update_product(message)).product)


@route("GET", "/products/{sku}/prices", Access.ANYONE)
async def list_prices(request: Request[PricePaging]) -> Answer[Items[PriceChange]]:
    """The prices of a product over time, newest first."""
    page = request.page
    message = v1.ListPricesRequest(sku=request.path["sku"], page_size=page.size, page_token=page.token)
    answer = await request.services.products.list_prices(message)
    prices = (PriceChange({"price": one.price, "currency": one.currency, "from": timestamp(one.from_)}) for one in answer.prices)
    return Answer(page.of(prices, answer.next_page_token))


def _product(message: v1.Product | None) -> Answer[Product]:
    product = given(message)
    body = Product(
        sku=product.sku,
        name=product.name,
        description=product.description,
        category=product.category,
        price=product.price,
        currency=product.currency,
        available=product.available,
        active=product.active,
        version=product.version,
    )
    return Answer(body, product.version)


ROUTES: Final = (list_products, show_product, add_product, change_product, list_prices)
