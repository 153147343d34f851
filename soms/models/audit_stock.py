"""What must hold of stock and its ledger, by itself."""

from typing import Final

from soms.models.audit_check import Check

LEDGER: Final = "the ledger knows what came and went; set the row right by hand and find out who changed it past the ledger"
BOUNDS: Final = Check(
    "stock.bounds",
    "of each SKU no more is promised than is there, and neither is negative",
    "see that the constraint stock_reserved exists, then correct stock by adjusting it",
    "select count(*) from products.stock",
    """
select sku, format('on_hand %s, reserved %s', on_hand, reserved), '0 <= reserved <= on_hand'
  from products.stock where not (0 <= reserved and reserved <= on_hand)
""",
)
PRODUCTS: Final = Check(
    "stock.products",
    "each product has a row of stock, and each row of stock its product",
    "insert the missing row by hand; a product and its stock are made in one transaction",
    "select count(*) from products.product",
    """
select sku, case when p.sku is null then 'stock alone' else 'product alone' end, 'both'
  from products.product p full join products.stock s using (sku) where p.sku is null or s.sku is null
""",
)
RESERVED: Final = Check(
    "stock.reserved",
    "what is reserved of a SKU is what open reservations hold of it",
    "reservations are the truth: set reserved to what is wanted, and look for a change past `settle`",
    "select count(*) from products.stock",
    """
select sku, coalesce(reserved, 0)::text, coalesce(pieces, 0)::text from products.stock full join (
  select sku, sum(quantity) as pieces from products.reservation join products.reservation_line using (order_id)
   where state in ('HELD', 'ALLOCATED') group by sku) as open using (sku)
 where coalesce(reserved, 0) <> coalesce(pieces, 0)
""",
)
ON_HAND: Final = Check(
    "stock.on_hand",
    "what is on hand of a SKU is the sum of its movements",
    LEDGER,
    "select count(*) from products.movement",
    """
select sku, coalesce(on_hand, 0)::text, coalesce(pieces, 0)::text
  from products.stock full join (select sku, sum(delta) as pieces from products.movement group by sku) as moved using (sku)
 where coalesce(on_hand, 0) <> coalesce(pieces, 0)
""",
)
# what left and came back for an order, as its reservation and as the ledger have it
SHIPMENTS: Final = Check(
    "stock.movements",
    "the ledger has each shipped line once and each returned piece once",
    LEDGER,
    "select count(*) from products.movement where order_id is not null",
    """
select format('%s %s', order_id, sku), format('shipped %s, returned %s', coalesce(m.shipped, 0), coalesce(m.returned, 0)),
       format('shipped %s, returned %s', coalesce(w.shipped, 0), coalesce(w.returned, 0))
  from (
    select order_id, sku, case state when 'SHIPPED' then quantity else 0 end as shipped, returned_quantity as returned
      from products.reservation join products.reservation_line using (order_id)) as w
  full join (
    select order_id, sku, -sum(delta) filter (where kind = 'shipped') as shipped, sum(delta) filter (where kind = 'returned') as returned
      from products.movement where order_id is not null group by order_id, sku) as m using (order_id, sku)
 where (coalesce(m.shipped, 0), coalesce(m.returned, 0)) <> (coalesce(w.shipped, 0), coalesce(w.returned, 0))
""",
)
STOCK: Final = (BOUNDS, PRODUCTS, RESERVED, ON_HAND, SHIPMENTS)
