from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.db_defaults import SqlDefault
from tortoise import fields


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="UserOutbox",
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
            options={"table": "outbox", "app": "users", "pk_attr": "id", "table_description": "Events of users on their way to Kafka."},
            bases=["Outbox"],
        ),
    ]
