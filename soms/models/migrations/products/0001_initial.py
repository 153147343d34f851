from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.db_defaults import SqlDefault
from uuid import uuid4
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="Movement",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))),
                ("sku", fields.CharField(max_length=64)),
                ("at", fields.DatetimeField(db_default=SqlDefault("clock_timestamp()"), auto_now=False, auto_now_add=False)),
                ("kind", fields.CharField(max_length=8)),
                ("delta", fields.IntField()),
                ("on_hand", fields.IntField()),
                ("reason", fields.CharField(null=True, max_length=500)),
                ("order_id", fields.UUIDField(null=True)),
            ],
            options={
                "table": "movement",
                "app": "products",
                "indexes": [Index(fields=["sku", "id"])],
                "pk_attr": "id",
                "table_description": "One line of the ledger: `delta` pieces came or went, `on_hand` were there afterwards. A SKU's deltas add up to its stock.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Price",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("sku", fields.CharField(max_length=64)),
                ("price", fields.BigIntField()),
                ("currency", fields.CharField(max_length=3)),
                ("since", fields.DatetimeField(db_default=SqlDefault("clock_timestamp()"), auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "price",
                "app": "products",
                "indexes": [Index(fields=["sku", "id"])],
                "pk_attr": "id",
                "table_description": "A price and the first moment at which it held.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Product",
            fields=[
                ("sku", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ("name", fields.CharField(max_length=200)),
                ("description", fields.TextField(default="", unique=False)),
                ("category", fields.CharField(null=True, max_length=100)),
                ("price", fields.BigIntField()),
                ("currency", fields.CharField(max_length=3)),
                ("active", fields.BooleanField(default=True)),
                ("version", fields.BigIntField(default=1)),
                ("created_at", fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "product",
                "app": "products",
                "indexes": [Index(fields=["created_at", "sku"])],
                "pk_attr": "sku",
                "table_description": "What can be ordered; `price` of a piece in minor units of `currency`, `version` one more with every change.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="ProductIdempotency",
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
                "app": "products",
                "unique_together": (("user_id", "key"),),
                "pk_attr": "id",
                "table_description": "Answers to keyed changes of products and stock.",
            },
            bases=["Idempotency"],
        ),
        ops.CreateModel(
            name="ProductOutbox",
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
                "app": "products",
                "pk_attr": "id",
                "table_description": "Events of products on their way to Kafka.",
            },
            bases=["Outbox"],
        ),
        ops.CreateModel(
            name="Reservation",
            fields=[
                ("order_id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                ("state", fields.CharField(db_default="HELD", max_length=9)),
                ("version", fields.BigIntField(db_default=0)),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("created_at", fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "reservation",
                "app": "products",
                "pk_attr": "order_id",
                "table_description": "Stock held for an order. Its lines are in `reservation_line` (migration 0002): Tortoise knows no key of two columns.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Stock",
            fields=[
                ("sku", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ("on_hand", fields.IntField(default=0)),
                ("reserved", fields.IntField(default=0)),
                ("low_threshold", fields.IntField(default=0)),
                ("version", fields.BigIntField(default=1)),
            ],
            options={
                "table": "stock",
                "app": "products",
                "pk_attr": "sku",
                "table_description": "Pieces of one SKU: `on_hand` there, `reserved` of them promised; `version` is one more with every change.",
            },
            bases=["Model"],
        ),
    ]
