"""What must hold of history: it is the orders, row by row, and nothing beside them. Names may be short in events of very long orders."""

from typing import Final

from soms.models.audit_check import Check

REMEDY: Final = (
    "is the analytics agent running, and is the event not among its dead letters (`soms dlq list`)? "
    "`soms analytics rebuild` reads all of history again"
)
# an event tells of a country where an address has one
COUNTRY: Final = "nullif(o.shipping_address ->> 'country', '')"
TOLD: Final = "version", "number", "user_id", "currency", "status", "total", "placed_at", "country"
KEPT: Final = f"o.version, o.number, o.user_id, o.currency, o.status, o.total, o.created_at as placed_at, {COUNTRY} as country"
FACT, BOOK = (", ".join(f"{table}.{name}" for name in TOLD) for table in ("fact", "book"))
FACTS: Final = Check(
    "history.orders",
    "history has each order as it stands, and no other",
    REMEDY,
    "select count(*) from orders.orders",
    f"""
with book as (select o.id as order_id, {KEPT} from orders.orders o)
select coalesce(book.order_id, fact.order_id)::text,
       case when fact.order_id is null then 'nothing' else ({FACT})::text end,
       case when book.order_id is null then 'no such order' else ({BOOK})::text end
  from book full join analytics.order_fact fact using (order_id)
 where ({FACT}) is distinct from ({BOOK})
""",
)
LINES: Final = Check(
    "history.lines",
    "history has each line of an order, as often as it was ordered and came back, at its price, and no other",
    REMEDY,
    "select count(*) from orders.order_line",
    """
select format('%s line %s', coalesce(line.order_id, fact.order_id), coalesce(line.position, fact.position)),
       format('%s x %s, %s back', fact.quantity, fact.sku, fact.returned_quantity),
       format('%s x %s, %s back', line.quantity, line.sku, line.returned_quantity)
  from orders.order_line line full join analytics.line_fact fact on fact.order_id = line.order_id and fact.position = line.position
 where (fact.sku, fact.quantity, fact.returned_quantity, fact.unit_price)
       is distinct from (line.sku, line.quantity, line.returned_quantity, line.unit_price)
""",
)
UNITS: Final = Check(
    "history.units",
    "the units of an order in history are those of its lines",
    REMEDY,
    "select count(*) from analytics.order_fact",
    """
select fact.order_id::text, fact.units::text, coalesce(lines.units, 0)::text
  from analytics.order_fact fact left join (
    select order_id, sum(quantity) as units from orders.order_line group by order_id) as lines using (order_id)
 where fact.units <> coalesce(lines.units, 0)
""",
)
# what came back in part has an entry from delivered to delivered, which is no step
STEPS: Final = Check(
    "history.steps",
    "each time at which an order came to a state is that of its timeline",
    REMEDY,
    "select count(*) from orders.timeline",
    """
with step as (
  select order_id, min(at) filter (where status_to = 'paid') as paid, min(at) filter (where status_to = 'shipped') as shipped,
         min(at) filter (where status_to = 'delivered') as delivered, min(at) filter (where status_to = 'cancelled') as cancelled,
         min(at) filter (where status_to = 'returned') as returned
    from orders.timeline group by order_id)
select order_id::text, format('%s %s %s %s %s', paid_at, shipped_at, delivered_at, cancelled_at, returned_at),
       format('%s %s %s %s %s', paid, shipped, delivered, cancelled, returned)
  from analytics.order_fact join step using (order_id)
 where (paid_at, shipped_at, delivered_at, cancelled_at, returned_at) is distinct from (paid, shipped, delivered, cancelled, returned)
""",
)
HISTORY: Final = (FACTS, LINES, UNITS, STEPS)
