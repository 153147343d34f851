"""Facts of orders as history keeps them: one row an order and one a line, as told by events. Knows no order table and no Kafka.

Tortoise looks here for all that the analytics service keeps. There is no name and no address in it, of people or of mail.
"""

from tortoise import fields
from tortoise.models import Model

__all__ = ["OrderFact"]


class OrderFact(Model):
    """An order as its newest event tells it, and when it came to each of its states; money in minor units of `currency`.

    `customer` is the same for all orders of one person, `user_id` that of an account. Its lines are table `line_fact`, which has a key of
    two columns and so no model.
    """

    order_id = fields.UUIDField(primary_key=True)
    version = fields.BigIntField()
    number = fields.CharField(max_length=20)
    user_id = fields.UUIDField(null=True)
    customer = fields.UUIDField(null=True)
    country = fields.TextField(null=True)
    currency = fields.CharField(max_length=3)
    status = fields.CharField(max_length=9)
    total = fields.BigIntField()
    units = fields.BigIntField()
    placed_at = fields.DatetimeField()
    paid_at = fields.DatetimeField(null=True)
    shipped_at = fields.DatetimeField(null=True)
    delivered_at = fields.DatetimeField(null=True)
    cancelled_at = fields.DatetimeField(null=True)
    returned_at = fields.DatetimeField(null=True)

    class Meta:
        """Schema analytics."""

        table = "order_fact"
