"""What the database itself guards, and what makes the hot path cheap. By SQL: CreateModel drops constraints (tortoise-orm#2272)."""

from tortoise import migrations
from tortoise.migrations import operations as ops

STATUSES = "('placed', 'paid', 'shipped', 'delivered', 'returned', 'cancelled')"
RULES = [
    "alter table attempt add constraint attempt_state check (state in ('PLACED', 'ABANDONED'))",
    f"alter table orders add constraint orders_status check (status in {STATUSES})",
    "alter table orders add constraint orders_currency check (currency ~ '^[A-Z]{3}$')",
    "alter table orders add constraint orders_version check (version >= 1)",
    # a price may be negative in an imported order, which has an external number
    "alter table orders add constraint orders_money check (external_number is not null or (subtotal >= 0 and total >= 0))",
    "alter table order_line add constraint order_line_returned check (returned_quantity between 0 and greatest(quantity, 0))",
    f"alter table timeline add constraint timeline_status check (status_to in {STATUSES})",
    "alter table timeline add constraint timeline_actor check (actor_type in ('customer', 'staff', 'service'))",
    "create sequence order_number start 100001",
    "create index outbox_unpublished on outbox (id) where published_at is null",
    "create index outbox_key on outbox (key)",
    "alter table outbox set (fillfactor = 80)",
    "alter table orders set (fillfactor = 80)",
]


class Migration(migrations.Migration):
    """After the tables."""

    dependencies = [("orders", "0001_initial")]
    operations = [ops.RunSQL(RULES)]
