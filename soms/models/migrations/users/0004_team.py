"""The few who are not customers alone are found without reading all."""

from tortoise import migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """After the wake."""

    dependencies = [("users", "0003_wake")]
    operations = [ops.RunSQL(["create index users_team on users (id) where roles && array['staff', 'admin']"])]
