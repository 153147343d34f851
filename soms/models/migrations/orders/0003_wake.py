"""A resting relay hears of new events."""

from tortoise import migrations
from tortoise.migrations import operations as ops

from soms.models.migrations.wake import WAKE


class Migration(migrations.Migration):
    """After the rules."""

    dependencies = [("orders", "0002_rules")]
    operations = [ops.RunSQL(WAKE)]
