"""A resting relay hears of new events."""

from tortoise import migrations
from tortoise.migrations import operations as ops

from soms.models.migrations.wake import WAKE


class Migration(migrations.Migration):
    """After the rules."""

    dependencies = [("users", "0002_constraints")]
    operations = [ops.RunSQL(WAKE)]
