"""What the database itself guards of webhooks, and what finds their deliveries. By SQL: CreateModel drops constraints (tortoise-orm#2272)."""

from tortoise import migrations
from tortoise.migrations import operations as ops

RULES = [
    "alter table webhook add constraint webhook_event_types check (cardinality(event_types) > 0)",
    "alter table webhook add constraint webhook_secret check (secret like 'whsec\\_%')",
    "alter table webhook add constraint webhook_overlap check ((previous_secret is null) = (previous_until is null))",
    "alter table webhook add constraint webhook_paused check (active = (paused_reason is null))",
    "alter table webhook add constraint webhook_failing check ((failures > 0) = (failing_since is not null))",
    """create index notification_webhook on notification ((payload ->> 'webhook_id'))
        where channel = 'webhook' and status in ('pending', 'held')""",
    """create index notification_subject on notification ((payload -> 'event' ->> 'user_id'))
        where channel = 'webhook' and payload is not null""",
]


class Migration(migrations.Migration):
    """After the table."""

    dependencies = [("notifications", "0003_webhook")]
    operations = [ops.RunSQL(RULES)]
