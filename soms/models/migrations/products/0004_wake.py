"""A resting relay hears of new events."""

from tortoise import migrations
from tortoise.migrations import operations as ops

from soms.models.migrations.wake import WAKE


class Migration(migrations.Migration):
    """After the inbox."""

    dependencies = [("products", "0003_inbox")]
    operations = [ops.RunSQL(WAKE)]
