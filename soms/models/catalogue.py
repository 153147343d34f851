"""The catalogue: adding products, changing them, finding them, and what they cost before."""

import re
from typing import Annotated, Any
from uuid import UUID

import asyncpg
from pydantic import AwareDatetime, Field, TypeAdapter
from tortoise.exceptions import IntegrityError
from typing_extensions import TypedDict

from soms.errors import Aborted, AlreadyExists, NotFound
from soms.events import ProductCreated, ProductEvent, ProductPriceChanged, ProductUpdated
from soms.models import paging, stock
from soms.models.database import fetch, transaction
from soms.models.idempotency import Answer, fingerprint, once
from soms.models.outbox import append
from soms.models.product import Price, Product
from soms.values import Currency, Line, OptionalLine, Sku, StockCount, Text, Value, Word
from soms.values import Price as Amount

DOCUMENT = """
select sku, name, description, category, price, currency, on_hand - reserved as available, active, product.version
  from product join stock using (sku)
"""
ONE = DOCUMENT + "where sku = $1"
PAGE = (
    DOCUMENT.replace("product.version", "product.version, created_at")
    + """
 where concat_ws(' ', sku, name, description) ilike all ($1::text[]) and ($2::text is null or category = $2)
   and ($3::boolean is null or $3 = (on_hand > reserved)) and ($4::boolean is null or $4 = active)
   and (created_at, sku) < (coalesce($5, 'infinity'::timestamptz), coalesce($6, ''))
 order by created_at desc, sku desc limit $7
"""
)
PRICES = "select id, price, currency, since from price where sku = $1 and id < coalesce($2, 9223372036854775807) order by id desc limit $3"

Document = dict[str, Any]


class NewProduct(Value):
    """A product to sell, and how much of it is there at the start."""

    sku: Sku
    name: Line
    description: Text = ""
    category: Word | None = None
    price: Amount
    currency: Currency
    on_hand: StockCount = 0
    low_threshold: StockCount = 0


class Changes(TypedDict, total=False):
    """What shall change of a product; a category of None takes it away."""

    name: Line
    description: Text
    category: Word | None
    price: Amount
    currency: Currency
    active: bool
    low_threshold: StockCount


CHANGES = TypeAdapter(Changes)
# what a page token of ours holds; another one must not reach the database
MOMENT, SKU, SERIAL = TypeAdapter(AwareDatetime), TypeAdapter(Sku), TypeAdapter(Annotated[int, Field(strict=True, ge=0, lt=2**63)])


class Filter(Value):
    """Which products: those in whose SKU, name or description each word of `q` occurs, whatever its case."""

    q: OptionalLine = ""
    category: Word | None = None
    in_stock: bool | None = None
    active: bool | None = None


async def create(user_id: UUID, key: str, new: NewProduct) -> Answer:
    """Add a product to the catalogue, under an idempotency key if there is one. Raises AlreadyExists (`sku_taken`)."""

    async def change() -> Document:
        try:
            product = await Product.create(**new.model_dump(exclude={"on_hand", "low_threshold"}))
        except IntegrityError as cause:
            raise AlreadyExists(f"there is a product {new.sku} already", reason="sku_taken") from cause
        await stock.begin(new.sku, new.on_hand, new.low_threshold)
        await _note_price(product)
        await append("products", _event(ProductCreated, product))
        return await read(new.sku)

    return await once("products", user_id, key, fingerprint("CreateProduct", new.model_dump()), change)


async def update(sku: str, changes: Changes, if_version: int | None = None) -> Document:
    """Change a product; a new price goes into the history. What changes nothing leaves the version as it is.

    Raises NotFound, and Aborted (`stale_version`) when it is no longer at `if_version`.
    """
    async with transaction("products"):
        product = await Product.filter(sku=sku).select_for_update(no_key=True).first()
        if product is None:
            raise NotFound("no such product")
        if if_version not in {None, product.version}:
            raise Aborted(f"the product is at version {product.version} now", version=product.version)
        await _change(product, dict(changes))
        return await read(sku)


async def _change(product: Product, changes: dict[str, Any]) -> None:
    threshold = changes.pop("low_threshold", None)
    moved = threshold is not None and await stock.set_threshold(product.sku, threshold)
    changed = {name for name, value in changes.items() if value != getattr(product, name)}
    if not changed and not moved:
        return
    old_price, old_currency = product.price, product.currency
    await product.update_from_dict({**changes, "version": product.version + 1}).save(update_fields=[*changed, "version"])
    if changed & {"price", "currency"}:
        await _note_price(product)
        await append("products", _event(ProductPriceChanged, product, old_price=old_price, old_currency=old_currency))
    await append("products", _event(ProductUpdated, product))


async def read(sku: str) -> Document:
    """One product. Raises NotFound."""
    rows = await fetch("products", ONE, sku)
    if not rows:
        raise NotFound("no such product")
    return dict(rows[0])


async def page(wanted: Filter, page_size: int, page_token: str) -> tuple[list[Document], str]:
    """A page of products, newest first, and the token of the next. Raises InvalidArgument."""
    limit = paging.size(page_size)
    created_at, sku = paging.position(page_token, MOMENT.validate_python, SKU.validate_python) or (None, None)
    patterns = [f"%{_literal(word)}%" for word in wanted.q.split()]
    rows = await fetch("products", PAGE, patterns, wanted.category, wanted.in_stock, wanted.active, created_at, sku, limit + 1)
    shown, token = paging.page(rows, limit, "created_at", "sku")
    return [{name: value for name, value in row.items() if name != "created_at"} for row in shown], token


async def prices(sku: str, page_size: int, page_token: str) -> tuple[list[asyncpg.Record], str]:
    """A page of what a product cost and since when, newest first, and the token of the next. Raises NotFound and InvalidArgument."""
    await read(sku)
    limit = paging.size(page_size)
    (seen,) = paging.position(page_token, SERIAL.validate_python) or (None,)
    return paging.page(await fetch("products", PRICES, sku, seen, limit + 1), limit, "id")


async def _note_price(product: Product) -> None:
    await Price.create(sku=product.sku, price=product.price, currency=product.currency)


def _event(kind: type[ProductEvent], product: Product, **more: Any) -> ProductEvent:
    members = {name: getattr(product, name) for name in ("version", "sku", "name", "category", "price", "currency", "active")}
    return kind.model_validate({**members, **more})


def _literal(word: str) -> str:
    """The pattern of LIKE that means just this text."""
    return re.sub(r"([\\%_])", r"\\\1", word)
