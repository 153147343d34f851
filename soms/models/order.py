"""Orders: what was ordered, at what price, and where each order stands. Knows nothing of stock but what it asked to hold."""

import enum

from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model

from soms.models.idempotency import Idempotency
from soms.models.outbox import Outbox


class Status(enum.StrEnum):
    """Where an order stands."""

    PLACED = "placed"
    PAID = "paid"
    SHIPPED = "shipped"
    DELIVERED = "delivered"
    RETURNED = "returned"
    CANCELLED = "cancelled"


class Action(enum.StrEnum):
    """What may be done to an order."""

    CANCEL = "cancel"
    PAY = "pay"
    SHIP = "ship"
    DELIVER = "deliver"
    RETURN = "return"


# the state machine: what may be done where
ALLOWED: dict[Status, dict[Action, Status]] = {
    Status.PLACED: {Action.CANCEL: Status.CANCELLED, Action.PAY: Status.PAID},
    Status.PAID: {Action.CANCEL: Status.CANCELLED, Action.SHIP: Status.SHIPPED},
    Status.SHIPPED: {Action.DELIVER: Status.DELIVERED},
    Status.DELIVERED: {Action.RETURN: Status.RETURNED},
    Status.RETURNED: {},
    Status.CANCELLED: {},
}


class Attempt(Model):
    """The fence of a placement: the first of PLACED and ABANDONED stands for good."""

    order_id = fields.UUIDField(primary_key=True)
    state = fields.CharField(max_length=9)

    class Meta:
        """Schema orders."""

        table = "attempt"


class Order(Model):
    """An order; money in minor units of `currency`, `version` one more with every change."""

    id = fields.UUIDField(primary_key=True)
    number = fields.CharField(max_length=20, unique=True)
    external_number = fields.CharField(max_length=100, null=True, unique=True)
    external_user = fields.CharField(max_length=100, null=True)
    user_id = fields.UUIDField(null=True)
    email = fields.CharField(max_length=254)
    status = fields.CharField(max_length=9)
    currency = fields.CharField(max_length=3)
    subtotal = fields.BigIntField()
    total = fields.BigIntField()
    shipping_address: dict[str, str] | None = fields.JSONField(null=True)
    note = fields.TextField(null=True)
    version = fields.BigIntField(default=1)
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()

    class Meta:
        """Schema orders."""

        table = "orders"
        indexes = (("created_at", "id"), ("user_id", "created_at", "id"), ("status", "created_at", "id"))


class OrderLine(Model):
    """One line, in the order it was sent (`position` from 1)."""

    id = fields.BigIntField(primary_key=True)
    order: fields.ForeignKeyRelation[Order] = fields.ForeignKeyField("orders.Order", related_name="lines", on_delete=fields.NO_ACTION)
    position = fields.IntField()
    sku = fields.CharField(max_length=64)
    name = fields.CharField(max_length=200)
    quantity = fields.IntField()
    returned_quantity = fields.IntField(default=0, db_default=0)
    unit_price = fields.BigIntField()

    class Meta:
        """Schema orders."""

        table = "order_line"
        unique_together = (("order", "position"),)


class TimelineEntry(Model):
    """Who changed an order, when and why."""

    id = fields.BigIntField(primary_key=True)
    order: fields.ForeignKeyRelation[Order] = fields.ForeignKeyField("orders.Order", related_name="timeline", on_delete=fields.NO_ACTION)
    version = fields.BigIntField()
    at = fields.DatetimeField()
    status_from = fields.CharField(max_length=9, null=True)
    status_to = fields.CharField(max_length=9)
    actor_type = fields.CharField(max_length=8)
    actor_id = fields.CharField(max_length=64)
    note = fields.TextField(null=True)

    class Meta:
        """Schema orders."""

        table = "timeline"
        unique_together = (("order", "version"),)


class Import(Model):
    """What was imported, by its number in the other system, as the order it made or undid; `fingerprint` is of all it said."""

    external_number = fields.CharField(max_length=100, primary_key=True)
    fingerprint = fields.BinaryField()
    order_id = fields.UUIDField(db_default=SqlDefault("uuidv7()"))

    class Meta:
        """Schema orders."""

        table = "import"


class OrderOutbox(Outbox):
    """Events of orders on their way to Kafka."""

    class Meta:
        """Schema orders."""

        table = "outbox"


class OrderIdempotency(Idempotency):
    """Answers to placements and keyed changes of orders."""

    class Meta:
        """Schema orders."""

        table = "idempotency"
        unique_together = (("user_id", "key"),)
