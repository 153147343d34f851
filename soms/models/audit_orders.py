"""What must hold of orders by themselves: attempt, lines, totals, timeline, events, answers, imports, which never were attempts."""

from typing import Final

from soms.models.audit_check import Check
from soms.models.order import ALLOWED
from soms.models.outlet import KEPT

ORDERS: Final = "select count(*) from orders.orders"
ENTRIES: Final = "select count(*) from orders.timeline"
BY_HAND: Final = "one transaction writes both, so somebody changed rows by hand, or lost them: compare with a backup"
# goods that come back in part leave an order delivered
STEPS: Final = [(was, to) for was, steps in ALLOWED.items() for to in steps.values()] + [("delivered", "delivered")]
ALLOWED_STEPS: Final = ", ".join(f"('{was}', '{to}')" for was, to in STEPS)
ATTEMPTS: Final = Check(
    "orders.attempts",
    "each order has its fence PLACED, and each such fence its order",
    "the fence keeps stock from being released: insert it where it is missing, then run `soms audit` again",
    ORDERS,
    """
select coalesce(o.id, a.order_id)::text, format('order %s, fence %s', coalesce(o.number, 'none'), coalesce(a.state, 'none')),
       'order and fence PLACED'
  from orders.orders o full join orders.attempt a on a.order_id = o.id
 where case when o.id is null then a.state = 'PLACED' else a.state is distinct from 'PLACED' and o.external_number is null end
""",
)
LINES: Final = Check(
    "orders.lines",
    "each order has lines, in positions 1, 2, ...",
    BY_HAND,
    "select count(*) from orders.order_line",
    """
select id::text, format('%s lines, the last in position %s', lines, coalesce(last, 0)), 'positions without gaps, one at least'
  from (select o.id, count(position) as lines, max(position) as last from orders.orders o
          left join orders.order_line l on l.order_id = o.id group by o.id) as one
 where lines = 0 or lines <> last
""",
)
TOTALS: Final = Check(
    "orders.totals",
    "the lines of an order add up to what it costs",
    "tell the customer before anything is changed; lines keep the prices that were promised",
    ORDERS,
    """
select id::text, format('subtotal %s, total %s', subtotal, total), coalesce(added, 0)::text
  from orders.orders o left join (
    select order_id, sum(quantity::bigint * unit_price) as added from orders.order_line group by order_id) as lines on order_id = id
 where subtotal <> coalesce(added, 0) or total <> coalesce(added, 0)
""",
)
TIMELINE: Final = Check(
    "orders.timeline",
    "the timeline of an order has an entry for each of its versions",
    BY_HAND,
    ENTRIES,
    """
select id::text, format('versions %s', coalesce(versions, '{}')), format('1 to %s', version)
  from orders.orders left join (
    select order_id, array_agg(t.version order by t.version) as versions from orders.timeline t group by order_id) as seen on order_id = id
 where versions is distinct from array(select generate_series(1, version))
""",
)
TRANSITIONS: Final = Check(
    "orders.transitions",
    "each entry leads on from the one before, by a step that is allowed, and the last to where the order stands",
    BY_HAND,
    ENTRIES,
    f"""
select format('%s v%s', order_id, entry.version), format('%s to %s', coalesce(status_from, 'nothing'), status_to),
       format('from %s, %s', coalesce(before, 'nothing'), case when last then format('to %s', status) else 'a step that is allowed' end)
  from (
    select order_id, version, status_from, status_to, lag(status_to) over one as before, lead(version) over one is null as last
      from orders.timeline window one as (partition by order_id order by version)) as entry
  join orders.orders o on o.id = order_id
 where status_from is distinct from before or (last and status_to <> status)
    or case when status_from is null then status_to <> 'placed' and external_number is null
            else (status_from, status_to) not in ({ALLOWED_STEPS}) end
""",
)
# the outbox forgets what was published long ago
EVENTS: Final = Check(
    "orders.events",
    "each entry of a timeline has its event in the outbox, and each event its entry",
    "an entry alone was never told: write its event into the outbox; an event alone tells what never was: tell who heard it",
    "select count(*) from orders.outbox",
    f"""
with entry as (
  select order_id::text as key, version, status_to as status, at, case
           when status_from = 'delivered' then 'returned' else status_to end as fact from orders.timeline),
event as (
  select key, (payload::jsonb ->> 'version')::bigint as version, payload::jsonb ->> 'status' as status, type, topic from orders.outbox)
select format('%s v%s', key, version), format('%s, %s', coalesce(type, 'no event'), coalesce(event.status, '-')),
       coalesce(format('soms.order.%s.v1, %s', fact, entry.status), 'no event')
  from entry full join event using (key, version)
 where case when event.type is null then at > now() - interval '{KEPT}' + interval '1 hour'
            else (type, event.status, topic) is distinct from (format('soms.order.%s.v1', fact), entry.status, 'soms.orders') end
""",
)
ANSWERS: Final = Check(
    "orders.answers",
    "each stored answer is that of an order that stands",
    "whoever repeats that request hears of an order that is not there: delete the answer, and ask what became of the order",
    "select count(*) from orders.idempotency",
    """
select format('%s %s', user_id, key), format('order %s', answer::jsonb ->> 'id'), 'an order that stands'
  from orders.idempotency where answer is not null and not answer::jsonb ? 'refusal'
   and not exists (select from orders.orders where id = (answer::jsonb ->> 'id')::uuid)
""",
)
IMPORTS: Final = Check(
    "orders.imports",
    "each order that was imported is known by its number, and each such number by an order that stands",
    "an order whose number is not known would be imported again: insert its row; a number alone keeps its order out: delete it",
    "select count(*) from orders.import",
    """
select coalesce(i.external_number, o.external_number), format('order %s', coalesce(i.order_id, o.id)),
       case when i.external_number is null then 'a number that is known' else 'an order that stands' end
  from orders.import i full join orders.orders o on o.external_number = i.external_number
 where case when i.external_number is null then o.external_number is not null
            else not exists (select from orders.orders where id = i.order_id) end
""",
)
ORDER: Final = (ATTEMPTS, LINES, TOTALS, TIMELINE, TRANSITIONS, EVENTS, ANSWERS, IMPORTS)
