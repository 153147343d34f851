from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.fields.data import JSON_DUMPS
from tortoise.fields.db_defaults import SqlDefault
from tortoise import fields


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="Notification",
            fields=[
                ("id", fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))),
                ("event_id", fields.UUIDField()),
                ("event_type", fields.CharField(max_length=100)),
                ("order_id", fields.UUIDField(null=True)),
                ("user_id", fields.UUIDField(null=True)),
                ("channel", fields.CharField(max_length=7)),
                ("recipient", fields.CharField(max_length=2000)),
                ("status", fields.CharField(max_length=10)),
                ("attempts", fields.JSONField(db_default=SqlDefault("'[]'"), encoder=JSON_DUMPS, decoder=loads)),
                ("tries", fields.IntField(db_default=0)),
                ("rounds", fields.IntField(db_default=0)),
                ("next_attempt_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("payload", fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads)),
                ("created_at", fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False)),
                ("sent_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("dead_lettered_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "notification",
                "app": "notifications",
                "unique_together": (("event_id", "channel", "recipient"),),
                "pk_attr": "id",
                "table_description": "One message to one recipient.",
            },
            bases=["Model"],
        ),
    ]
