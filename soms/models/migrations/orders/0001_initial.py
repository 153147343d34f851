from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise.fields.db_defaults import SqlDefault
from uuid import uuid4
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="Attempt",
            fields=[
                ("order_id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                ("state", fields.CharField(max_length=9)),
            ],
            options={
                "table": "attempt",
                "app": "orders",
                "pk_attr": "order_id",
                "table_description": "The fence of a placement: the first of PLACED and ABANDONED stands for good.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Order",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                ("number", fields.CharField(unique=True, max_length=20)),
                ("external_number", fields.CharField(null=True, unique=True, max_length=100)),
                ("user_id", fields.UUIDField(null=True)),
                ("email", fields.CharField(max_length=254)),
                ("status", fields.CharField(max_length=9)),
                ("currency", fields.CharField(max_length=3)),
                ("subtotal", fields.BigIntField()),
                ("total", fields.BigIntField()),
                ("shipping_address", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                ("note", fields.TextField(null=True, unique=False)),
                ("version", fields.BigIntField(default=1)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "orders",
                "app": "orders",
                "indexes": [
                    Index(fields=["created_at", "id"]),
                    Index(fields=["user_id", "created_at", "id"]),
                    Index(fields=["status", "created_at", "id"]),
                ],
                "pk_attr": "id",
                "table_description": "An order; money in minor units of `currency`, `version` one more with every change.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OrderIdempotency",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("user_id", fields.UUIDField()),
                ("key", fields.CharField(max_length=255)),
                ("fingerprint", fields.BinaryField()),
                ("answer", fields.TextField(null=True, unique=False)),
                ("created_at", fields.DatetimeField(db_index=True, db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "idempotency",
                "app": "orders",
                "unique_together": (("user_id", "key"),),
                "pk_attr": "id",
                "table_description": "Answers to placements and keyed changes of orders.",
            },
            bases=["Idempotency"],
        ),
        ops.CreateModel(
            name="OrderLine",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "order",
                    fields.ForeignKeyField(
                        "orders.Order",
                        source_field="order_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="lines",
                        on_delete=OnDelete.NO_ACTION,
                    ),
                ),
                ("position", fields.IntField()),
                ("sku", fields.CharField(max_length=64)),
                ("name", fields.CharField(max_length=200)),
                ("quantity", fields.IntField()),
                ("returned_quantity", fields.IntField(default=0, db_default=0)),
                ("unit_price", fields.BigIntField()),
            ],
            options={
                "table": "order_line",
                "app": "orders",
                "unique_together": (("order", "position"),),
                "pk_attr": "id",
                "table_description": "One line, in the order it was sent (`position` from 1).",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OrderOutbox",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("event_id", fields.UUIDField(unique=True, db_default=SqlDefault("uuidv7()"))),
                ("type", fields.CharField(max_length=100)),
                ("topic", fields.CharField(max_length=100)),
                ("key", fields.CharField(max_length=100)),
                ("payload", fields.TextField(unique=False)),
                ("traceparent", fields.CharField(null=True, max_length=55)),
                ("created_at", fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False)),
                ("published_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "outbox",
                "app": "orders",
                "pk_attr": "id",
                "table_description": "Events of orders on their way to Kafka.",
            },
            bases=["Outbox"],
        ),
        ops.CreateModel(
            name="TimelineEntry",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "order",
                    fields.ForeignKeyField(
                        "orders.Order",
                        source_field="order_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="timeline",
                        on_delete=OnDelete.NO_ACTION,
                    ),
                ),
                ("version", fields.BigIntField()),
                ("at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("status_from", fields.CharField(null=True, max_length=9)),
                ("status_to", fields.CharField(max_length=9)),
                ("actor_type", fields.CharField(max_length=8)),
                ("actor_id", fields.CharField(max_length=64)),
                ("note", fields.TextField(null=True, unique=False)),
            ],
            options={
                "table": "timeline",
                "app": "orders",
                "unique_together": (("order", "version"),),
                "pk_attr": "id",
                "table_description": "Who changed an order, when and why.",
            },
            bases=["Model"],
        ),
    ]
