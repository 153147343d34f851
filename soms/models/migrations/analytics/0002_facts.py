"""Lines of orders, the inbox, and what makes figures fast. Indexes bear the names that PostgreSQL gives them, and so do their copies."""

from tortoise import migrations
from tortoise.migrations import operations as ops

from soms.models.inbox import TABLE

FACTS = [
    TABLE,
    """
create table line_fact (
  order_id uuid not null, position int not null, sku varchar(64) not null, name varchar(200) not null, quantity int not null,
  returned_quantity int not null, unit_price bigint not null,
  total bigint not null generated always as (quantity::bigint * unit_price) stored, primary key (order_id, position))
""",
    "alter table order_fact add constraint order_fact_status check "
    "(status in ('placed', 'paid', 'shipped', 'delivered', 'returned', 'cancelled'))",
    "alter table order_fact add constraint order_fact_version check (version > 0)",
    "create index on order_fact (placed_at)",
    "create index on order_fact (customer, placed_at) where customer is not null",
    "create index on line_fact (sku)",
    "alter table order_fact set (fillfactor = 80)",
]


class Migration(migrations.Migration):
    """After the table."""

    dependencies = [("analytics", "0001_initial")]
    operations = [ops.RunSQL(FACTS)]
