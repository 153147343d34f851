"""Figures of a range about people and their orders' ways: overview, funnel, cohorts, best customers. Knows no transport.

A customer is new in the range of their first order. Who is nobody known counts among the orders alone.
"""

from collections import defaultdict
from typing import Any, Final

from soms.models.database import fetch
from soms.models.history_query import ORDERS, SCHEMA, STANDS, WITHIN, Range, figures

OVERVIEW: Final = ORDERS.format(key="null::text", more=f", count(*) filter (where {STANDS}) as standing", by="currency")
CUSTOMERS: Final = f"""
select count(*) filter (where not known) as new, count(*) filter (where known) as returning
  from (select exists (select from order_fact as before where before.customer = one.customer and before.placed_at < $1) as known
          from (select distinct customer from order_fact where {WITHIN} and customer is not null) as one) as each
"""
STEPS: Final = {"paid": "placed_at", "shipped": "paid_at", "delivered": "shipped_at"}
MEDIANS: Final = ", ".join(
    f"percentile_cont(0.5) within group (order by extract(epoch from {step}_at - {before})) as {step}_seconds"
    for step, before in STEPS.items()
)
FUNNEL: Final = f"""
select count(*) as placed, count(paid_at) as paid, count(shipped_at) as shipped, count(delivered_at) as delivered,
       count(*) filter (where status = 'cancelled') as cancelled, count(*) filter (where status = 'returned') as returned, {MEDIANS}
  from order_fact where {WITHIN}
"""
# a row for each cohort, for each of its months, and for each currency of a month
COHORTS: Final = f"""
with first as (
  select customer, to_char(min(placed_at) at time zone $3, 'YYYY-MM') as cohort from order_fact where customer is not null
   group by customer having min(placed_at) >= $1 and min(placed_at) < $2)
select cohort, to_char(placed_at at time zone $3, 'YYYY-MM') as month, currency, count(distinct customer) as customers, count(*) as orders,
       coalesce(sum(total) filter (where {STANDS}), 0)::bigint as revenue
  from first join order_fact using (customer)
 group by grouping sets ((1), (1, 2), (1, 2, currency)) order by 1, 2 nulls first, currency nulls first
"""
# as products: the currency that most of these orders bear comes first
TOP_CUSTOMERS: Final = f"""
with counted as ({ORDERS.replace(WITHIN, WITHIN + " and user_id is not null").format(key="user_id", more="", by="user_id, currency")}),
usual as (select currency from counted group by currency order by sum(orders) desc, currency limit 1),
ranked as (
  select key, sum(revenue) filter (where currency = (select currency from usual)) as first, sum(revenue) as rest
    from counted group by key order by first desc nulls last, rest desc, key limit $3)
select counted.* from counted join ranked using (key) order by first desc nulls last, rest desc, key, currency
"""


async def overview(asked: Range) -> dict[str, Any]:
    """A range in a few figures; the average value is that of the orders that stand."""
    rows = await fetch(SCHEMA, OVERVIEW, *asked)
    [people] = await fetch(SCHEMA, CUSTOMERS, *asked)
    found = figures(rows)
    cancelled, returned, orders = found.pop("cancelled"), found.pop("returned"), found["orders"]
    return {
        **found,
        "average_order_value": {row["currency"]: round(row["revenue"] / row["standing"]) for row in rows if row["standing"]},
        "cancellation_rate": cancelled / orders if orders else None,
        "return_rate": returned / orders if orders else None,
        "new_customers": people["new"],
        "returning_customers": people["returning"],
    }


async def funnel(asked: Range) -> dict[str, Any]:
    """How many orders came to each step, and the median seconds from the step before."""
    [row] = await fetch(SCHEMA, FUNNEL, *asked)
    found = dict(row)
    medians = {step: found.pop(f"{step}_seconds") for step in STEPS}
    return {**found, "median_seconds": {step: None if value is None else float(value) for step, value in medians.items()}}


async def cohorts(asked: Range, time_zone: str) -> list[dict[str, Any]]:
    """Customers by the month of their first order, and what they ordered in the months since."""
    found: list[dict[str, Any]] = []
    for row in await fetch(SCHEMA, COHORTS, *asked, time_zone):
        if row["month"] is None:
            found.append({"cohort": row["cohort"], "customers": row["customers"], "months": []})
        elif row["currency"] is None:
            found[-1]["months"].append({"month": row["month"], "customers": row["customers"], "orders": row["orders"], "revenue": {}})
        else:
            found[-1]["months"][-1]["revenue"][row["currency"]] = row["revenue"]
    return found


async def top_customers(asked: Range, limit: int) -> list[dict[str, Any]]:
    """Who bought most; guests are left out."""
    each: dict[str, list[Any]] = defaultdict(list)
    for row in await fetch(SCHEMA, TOP_CUSTOMERS, *asked, limit):
        each[str(row["key"])].append(row)
    wanted = ("orders", "units", "revenue")
    return [{"user_id": user_id, **{name: figures(rows)[name] for name in wanted}} for user_id, rows in each.items()]
