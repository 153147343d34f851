"""The events that took effect."""

from tortoise import migrations
from tortoise.migrations import operations as ops

from soms.models.inbox import TABLE


class Migration(migrations.Migration):
    """After the rules."""

    dependencies = [("products", "0002_constraints")]
    operations = [ops.RunSQL([TABLE])]
