"""What the database itself guards, and what finds the rows that wait. By SQL: CreateModel drops constraints (tortoise-orm#2272)."""

from tortoise import migrations
from tortoise.migrations import operations as ops

from soms.models.inbox import TABLE

WAITING = "status in ('pending', 'held')"
RULES = [
    TABLE,
    "alter table notification add constraint notification_channel check (channel in ('email', 'sms', 'webhook'))",
    "alter table notification add constraint notification_status check (status in ('pending', 'sent', 'failed', 'suppressed', 'held'))",
    # what waits has a time at which it is due, and something to send
    f"alter table notification add constraint notification_due check (({WAITING}) = (next_attempt_at is not null))",
    f"alter table notification add constraint notification_payload check (not ({WAITING}) or payload is not null)",
    "alter table notification add constraint notification_sent check (status <> 'sent' or sent_at is not null)",
    "alter table notification add constraint notification_attempts check (jsonb_typeof(attempts) = 'array')",
    f"create index notification_next on notification (channel, next_attempt_at) where {WAITING}",
    f"create index notification_waiting on notification (order_id, channel) where {WAITING} and order_id is not null",
    "create index notification_unburied on notification (id) where status = 'failed' and dead_lettered_at is null",
    "create index notification_order on notification (order_id, id) where order_id is not null",
    "create index notification_person on notification (user_id, id) where user_id is not null",
    # what is asked for by its status is what went wrong; the crowd of what was sent is not in here
    "create index notification_unsent on notification (status, id) where status <> 'sent'",
    "create index notification_payloads on notification (created_at) where payload is not null",
    "alter table notification set (fillfactor = 80)",
]


class Migration(migrations.Migration):
    """After the table."""

    dependencies = [("notifications", "0001_initial")]
    operations = [ops.RunSQL(RULES)]
