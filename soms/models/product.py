"""Tables of the catalogue; and, as Tortoise looks for them here, of all that the product service keeps."""

from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model

from soms.models.idempotency import Idempotency
from soms.models.outbox import Outbox
from soms.models.reservation import Reservation
from soms.models.stock import Movement, Stock

__all__ = ["Movement", "Price", "Product", "ProductIdempotency", "ProductOutbox", "Reservation", "Stock"]


class Product(Model):
    """What can be ordered; `price` of a piece in minor units of `currency`, `version` one more with every change."""

    sku = fields.CharField(max_length=64, primary_key=True)
    name = fields.CharField(max_length=200)
    description = fields.TextField(default="")
    category = fields.CharField(max_length=100, null=True)
    price = fields.BigIntField()
    currency = fields.CharField(max_length=3)
    active = fields.BooleanField(default=True)
    version = fields.BigIntField(default=1)
    created_at = fields.DatetimeField(db_default=SqlDefault("now()"))

    class Meta:
        """Schema products."""

        table = "product"
        indexes = (("created_at", "sku"),)


class Price(Model):
    """A price and the first moment at which it held."""

    id = fields.BigIntField(primary_key=True)
    sku = fields.CharField(max_length=64)
    price = fields.BigIntField()
    currency = fields.CharField(max_length=3)
    # not now(): that is when the transaction began to wait for its product
    since = fields.DatetimeField(db_default=SqlDefault("clock_timestamp()"))

    class Meta:
        """Schema products."""

        table = "price"
        indexes = (("sku", "id"),)


class ProductOutbox(Outbox):
    """Events of products on their way to Kafka."""

    class Meta:
        """Schema products."""

        table = "outbox"


class ProductIdempotency(Idempotency):
    """Answers to keyed changes of products and stock."""

    class Meta:
        """Schema products."""

        table = "idempotency"
        unique_together = (("user_id", "key"),)
