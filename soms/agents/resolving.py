"""Stock that is held for too long: asks the order service what became of the order, then allocates or releases.

Expiry is a question, not a timer: while the order service cannot be asked, stock stays held, for it may have been sold.
"""

import logging
from typing import Final
from uuid import UUID

from soms.errors import DeadlineExceeded, SomsError, Unavailable
from soms.models import fulfilment
from soms.models.fulfilment import Settlement, Status
from soms.pulse import Pulse
from soms.rpc.gen.soms import v1

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 15.0
STATUSES: Final[dict[v1.OrderStatus, Status]] = {
    v1.OrderStatus.PLACED: "placed",
    v1.OrderStatus.PAID: "paid",
    v1.OrderStatus.SHIPPED: "shipped",
    v1.OrderStatus.DELIVERED: "delivered",
    v1.OrderStatus.RETURNED: "returned",
    v1.OrderStatus.CANCELLED: "cancelled",
}


class Resolving:
    """Resolves stale reservations; any number of instances may, beside each other."""

    def __init__(self, orders: v1.OrderServiceStub) -> None:
        """`orders` is called as a service."""
        self._orders = orders
        self.pulse = Pulse("resolving stale reservations", self.run_once, INTERVAL_SECONDS)

    async def run_once(self) -> None:
        """Resolve one batch. Raises Unavailable and DeadlineExceeded where the order service does not answer."""
        stale = await fulfilment.stale()
        for order_id in stale:
            try:
                await fulfilment.settle([await self._standing(order_id)])
            except (Unavailable, DeadlineExceeded):
                raise
            except SomsError:
                log.exception("a stale reservation cannot be resolved", extra={"order_id": str(order_id)})
        if len(stale) == fulfilment.STALE_BATCH:
            self.pulse.soon()

    async def _standing(self, order_id: UUID) -> Settlement:
        order = (await self._orders.resolve_order(v1.ResolveOrderRequest(str(order_id)))).order
        if order is None:
            return Settlement(order_id, 0, "abandoned")
        returned = dict[str, int]()
        for line in order.lines:
            returned[line.sku] = returned.get(line.sku, 0) + line.returned_quantity
        return Settlement(order_id, order.version, STATUSES[order.status], returned)
