"""What must hold between orders and the stock that is held for them, over two schemas. Imported orders hold none."""

from typing import Final

from soms.models.audit_check import Check
from soms.models.fulfilment import TARGETS
from soms.models.reservation import HOLD_SECONDS

RESERVATIONS: Final = "select count(*) from products.reservation"
# the resolver asks every quarter of a minute, and again half a minute later where nobody answers
LATE_SECONDS: Final = HOLD_SECONDS + 60
WANTED: Final = " ".join(f"when '{status}' then '{target}'" for status, target in TARGETS.items())
STATES: Final = Check(
    "reservations.states",
    "the stock of each order is where the order stands",
    "is the inventory agent running, and the order not among its dead letters? `soms dlq list`, `soms outbox redrive --key ORDER`",
    RESERVATIONS,
    f"""
select id::text, coalesce(state, 'no reservation'), format('%s, as the order is %s', wanted, status)
  from (select id, status, case status {WANTED} end as wanted from orders.orders where external_number is null) as stands
  left join products.reservation on order_id = id where state is distinct from wanted
""",
)
LINES: Final = Check(
    "reservations.lines",
    "what is held for an order, and what came back of it, is what the order says",
    "returned pieces follow with the event; other differences are rows that were changed by hand: compare with a backup",
    "select count(*) from products.reservation_line",
    """
select format('%s %s', order_id, sku), format('%s pieces, %s returned', coalesce(h.quantity, 0), coalesce(h.returned, 0)),
       format('%s pieces, %s returned', coalesce(o.quantity, 0), coalesce(o.returned, 0))
  from (
    select order_id, sku, sum(quantity) as quantity, sum(returned_quantity) as returned
      from orders.order_line join orders.orders on orders.id = order_id where external_number is null group by order_id, sku) as o
  full join (
    select order_id, sku, quantity, returned_quantity as returned
      from products.reservation_line where order_id in (select id from orders.orders)) as h using (order_id, sku)
 where (coalesce(h.quantity, 0), coalesce(h.returned, 0)) <> (coalesce(o.quantity, 0), coalesce(o.returned, 0))
""",
)
OWNERS: Final = Check(
    "reservations.orders",
    "stock that is not just held has an order, or was released because its attempt was abandoned",
    "stock without an order is lost to sale: `soms doctor` names it; set its order right or release it by hand",
    RESERVATIONS,
    """
select order_id::text, format('%s without an order, fence %s', r.state, coalesce(a.state, 'none')), 'RELEASED, fence ABANDONED'
  from products.reservation r left join orders.attempt a using (order_id)
 where r.state <> 'HELD' and not exists (select from orders.orders where id = order_id)
   and (r.state, a.state) is distinct from ('RELEASED', 'ABANDONED')
""",
)
HELD: Final = Check(
    "reservations.held",
    "no stock is held longer than it takes to ask what became of its order",
    "start the process that resolves stale reservations, and see that the order service answers",
    "select count(*) from products.reservation where state = 'HELD'",
    f"""
select order_id::text, format('HELD since %s', date_trunc('second', created_at)), 'resolved within {LATE_SECONDS} s'
  from products.reservation where state = 'HELD' and created_at < now() - interval '{LATE_SECONDS} seconds'
""",
)
RESERVATION: Final = (STATES, LINES, OWNERS, HELD)
