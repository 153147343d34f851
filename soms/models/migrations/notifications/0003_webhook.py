from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.db_defaults import SqlDefault
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("notifications", "0002_rules")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Webhook",
            fields=[
                ("id", fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))),
                ("url", fields.CharField(unique=True, max_length=2000)),
                ("event_types", ArrayField(element_type="TEXT")),
                ("secret", fields.CharField(max_length=50)),
                ("previous_secret", fields.CharField(null=True, max_length=50)),
                ("previous_until", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("active", fields.BooleanField(db_default=True)),
                ("paused_reason", fields.CharField(null=True, max_length=200)),
                ("failures", fields.IntField(db_default=0)),
                ("failing_since", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("resting_until", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("version", fields.BigIntField(db_default=1)),
                ("created_at", fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False)),
            ],
            options={"table": "webhook", "app": "notifications", "pk_attr": "id", "table_description": "An address that hears of events."},
            bases=["Model"],
        ),
    ]
