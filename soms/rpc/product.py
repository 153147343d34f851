"""The product service: `python -m soms.rpc.product`. Converts messages, calls the domain, converts back."""

import contextlib
from collections.abc import AsyncIterator

from soms.config import Settings
from soms.discovery import Directory
from soms.models import catalogue, fulfilment, idempotency, reservation, stock
from soms.models.catalogue import CHANGES, Filter, NewProduct
from soms.models.database import connected
from soms.models.stock import Adjustment
from soms.pulse import Pulse
from soms.rpc import context
from soms.rpc import product_messages as messages
from soms.rpc.access import allows
from soms.rpc.gen.soms import v1
from soms.rpc.server import serve

PRUNE_SECONDS = 3600.0


class ProductServicer(v1.ProductServiceBase):
    """`soms.v1.ProductService`."""

    @allows("staff")
    async def create_product(self, message: v1.CreateProductRequest) -> v1.CreateProductResponse:
        """Add a product."""
        names = ("sku", "name", "description", "category", "price", "currency", "on_hand", "low_threshold")
        new = NewProduct(**messages.members(message, *names))
        answer = await catalogue.create(context.person(), messages.key(message.idempotency_key), new)
        return v1.CreateProductResponse(messages.product(answer.document), answer.replayed)

    @allows("anyone")
    async def get_product(self, message: v1.GetProductRequest) -> v1.GetProductResponse:
        """One product."""
        return v1.GetProductResponse(messages.product(await catalogue.read(messages.sku(message.sku))))

    @allows("anyone")
    async def list_products(self, message: v1.ListProductsRequest) -> v1.ListProductsResponse:
        """A page of products."""
        wanted = Filter(q=message.query, **messages.members(message, "category", "in_stock", "active"))
        found, token = await catalogue.page(wanted, message.page_size, message.page_token)
        return v1.ListProductsResponse([messages.product(document) for document in found], token)

    @allows("staff")
    async def update_product(self, message: v1.UpdateProductRequest) -> v1.UpdateProductResponse:
        """Change a product."""
        asked = messages.members(message, "name", "description", "category", "price", "currency", "active", "low_threshold")
        if asked.get("category") == "":
            asked["category"] = None
        changed = await catalogue.update(messages.sku(message.sku), CHANGES.validate_python(asked), message.if_version)
        return v1.UpdateProductResponse(messages.product(changed))

    @allows("anyone")
    async def list_prices(self, message: v1.ListPricesRequest) -> v1.ListPricesResponse:
        """What a product cost, and since when."""
        rows, token = await catalogue.prices(messages.sku(message.sku), message.page_size, message.page_token)
        return v1.ListPricesResponse([messages.price(row) for row in rows], token)

    @allows("staff")
    async def get_stock(self, message: v1.GetStockRequest) -> v1.GetStockResponse:
        """How much there is."""
        return v1.GetStockResponse(v1.Stock(**await stock.read(messages.sku(message.sku))))

    @allows("staff")
    async def adjust_stock(self, message: v1.AdjustStockRequest) -> v1.AdjustStockResponse:
        """Add pieces or take them."""
        adjustment = Adjustment(delta=message.delta, reason=message.reason)
        answer = await stock.adjust(context.person(), messages.key(message.idempotency_key), messages.sku(message.sku), adjustment)
        return v1.AdjustStockResponse(v1.Stock(**answer.document), answer.replayed)

    @allows("staff")
    async def list_movements(self, message: v1.ListMovementsRequest) -> v1.ListMovementsResponse:
        """What came and went."""
        rows, token = await stock.movements(messages.sku(message.sku), message.page_size, message.page_token)
        return v1.ListMovementsResponse([messages.movement(row) for row in rows], token)

    @allows("service")
    async def reserve_stock(self, message: v1.ReserveStockRequest) -> v1.ReserveStockResponse:
        """Hold stock for a round of orders."""
        outcomes = await reservation.reserve(messages.wanted(message))
        return v1.ReserveStockResponse([messages.outcome(outcome) for outcome in outcomes])

    @allows("service")
    async def settle_stock(self, message: v1.SettleStockRequest) -> v1.SettleStockResponse:
        """Bring held stock to where its orders stand."""
        await fulfilment.settle(messages.settlements(message))
        return v1.SettleStockResponse()


@contextlib.asynccontextmanager
async def product_service(settings: Settings, _: Directory) -> AsyncIterator[ProductServicer]:
    """The servicer with its database and its loop; it calls nobody."""
    async with connected(settings, "products"):
        prune = Pulse("pruning idempotency keys", lambda: idempotency.prune("products"), PRUNE_SECONDS)
        async with prune.running():
            yield ProductServicer()


if __name__ == "__main__":
    serve("product", product_service)
