from tortoise import migrations
from tortoise.migrations import operations as ops
from uuid import uuid4
from tortoise import fields


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="OrderFact",
            fields=[
                ("order_id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                ("version", fields.BigIntField()),
                ("number", fields.CharField(max_length=20)),
                ("user_id", fields.UUIDField(null=True)),
                ("customer", fields.UUIDField(null=True)),
                ("country", fields.TextField(null=True, unique=False)),
                ("currency", fields.CharField(max_length=3)),
                ("status", fields.CharField(max_length=9)),
                ("total", fields.BigIntField()),
                ("units", fields.BigIntField()),
                ("placed_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("paid_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("shipped_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("delivered_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("cancelled_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("returned_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "order_fact",
                "app": "analytics",
                "pk_attr": "order_id",
                "table_description": "An order as its newest event tells it, and when it came to each of its states; money in minor units of `currency`.",
            },
            bases=["Model"],
        ),
    ]
