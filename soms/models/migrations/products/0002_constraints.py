"""What the database itself guards, and what makes the hot path cheap. By SQL: CreateModel drops constraints (tortoise-orm#2272)."""

from tortoise import migrations
from tortoise.migrations import operations as ops

# every way to change stock passes here, so a crossing of the threshold is told once, by whoever makes it and in the same transaction
LOW = "{0}.on_hand - {0}.reserved <= {0}.low_threshold"
CROSSED = f"""
create function stock_crossed() returns trigger language plpgsql as $body$
begin
  insert into products.outbox (type, topic, key, payload)
  select case when {LOW.format("new")} then 'soms.product.stock_low.v1' else 'soms.product.stock_back.v1' end, 'soms.products', new.sku,
         json_build_object('version', new.version, 'sku', new.sku, 'name', name,
                           'available', new.on_hand - new.reserved, 'low_threshold', new.low_threshold)::text
    from products.product where sku = new.sku;
  return null;
end $body$
"""
RULES = [
    "alter table product add constraint product_price check (price between 0 and 1000000000)",
    "alter table product add constraint product_currency check (currency ~ '^[A-Z]{3}$')",
    "alter table product add constraint product_version check (version >= 1)",
    "alter table price add constraint price_price check (price between 0 and 1000000000)",
    "alter table stock add constraint stock_reserved check (0 <= reserved and reserved <= on_hand)",
    # twice what staff may enter: goods that come back always find room
    "alter table stock add constraint stock_on_hand check (on_hand <= 2000000000)",
    "alter table stock add constraint stock_low_threshold check (low_threshold between 0 and 1000000000)",
    "alter table movement add constraint movement_kind check (kind in ('received', 'adjusted', 'shipped', 'returned'))",
    "alter table movement add constraint movement_sign check (delta <> 0 and (delta > 0) = (kind in ('received', 'returned')))",
    "alter table movement add constraint movement_order check ((order_id is not null) = (kind in ('shipped', 'returned')))",
    "alter table movement add constraint movement_on_hand check (on_hand >= 0)",
    "alter table reservation add constraint reservation_state check (state in ('HELD', 'ALLOCATED', 'SHIPPED', 'RELEASED'))",
    "alter table reservation add constraint reservation_version check (version >= 0)",
    """create table reservation_line (
         order_id uuid, sku varchar(64), quantity int not null, returned_quantity int not null default 0,
         unit_price bigint not null, currency varchar(3) not null, name varchar(200) not null, primary key (order_id, sku),
         constraint reservation_line_quantity check (quantity >= 1),
         constraint reservation_line_returned check (returned_quantity between 0 and quantity))""",
    "create index reservation_held on reservation (expires_at) where state = 'HELD'",
    "create index outbox_unpublished on outbox (id) where published_at is null",
    # rows that change often stay on their page, beside their old versions
    "alter table stock set (fillfactor = 50)",
    "alter table reservation set (fillfactor = 80)",
    "alter table outbox set (fillfactor = 80)",
    CROSSED,
    f"""create trigger stock_crossed after update on stock for each row
        when (({LOW.format("old")}) is distinct from ({LOW.format("new")})) execute function stock_crossed()""",
]


class Migration(migrations.Migration):
    """After the tables."""

    dependencies = [("products", "0001_initial")]
    operations = [ops.RunSQL(RULES)]
