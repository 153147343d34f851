from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.fields.db_defaults import SqlDefault
from tortoise import fields


class Migration(migrations.Migration):
    dependencies = [("orders", "0003_wake")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Import",
            fields=[
                ("external_number", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=100)),
                ("fingerprint", fields.BinaryField()),
                ("order_id", fields.UUIDField(db_default=SqlDefault("uuidv7()"))),
            ],
            options={
                "table": "import",
                "app": "orders",
                "pk_attr": "external_number",
                "table_description": "What was imported, by its number in the other system, as the order it made or undid; `fingerprint` is of all it said.",
            },
            bases=["Model"],
        ),
        ops.AddField(
            model_name="Order",
            name="external_user",
            field=fields.CharField(null=True, max_length=100),
        ),
    ]
