"""Bringing stock to where orders stand: right after a commit, and again for whatever a crash or an outage left unsettled."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from uuid import UUID

from soms.errors import SomsError
from soms.models import settlement
from soms.models.settlement import Unsettled
from soms.pulse import Pulse
from soms.rpc import context
from soms.rpc.gen.soms import v1

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 2.0
# lets the placements of several rounds share a call
GAP_SECONDS = 0.05
CALL_SECONDS = 2.0
NOW_SECONDS = 1.0


class Settling:
    """Tells the product service; idempotent there, so that telling twice does no harm."""

    def __init__(self, products: v1.ProductServiceStub) -> None:
        """`products` is called as a service."""
        self._products = products
        self._queue: deque[Unsettled] = deque()
        self.pulse = Pulse("settling stock", self.run_once, INTERVAL_SECONDS, gap_seconds=GAP_SECONDS)

    def push(self, *changes: Unsettled) -> None:
        """Settle these soon."""
        self._queue.extend(changes)
        self.pulse.soon()

    async def run_once(self) -> None:
        """Settle what was pushed, else what is overdue, one batch of it."""
        batch = [self._queue.popleft() for _ in range(min(settlement.BATCH, len(self._queue)))] or await settlement.overdue()
        if batch:
            await self._settle(batch)
        if self._queue:
            self.pulse.soon()

    async def now(self, order_id: str) -> None:
        """Settle one order before its change is answered, if that is quick; else the loop does it."""
        with contextlib.suppress(TimeoutError, SomsError):
            async with asyncio.timeout(NOW_SECONDS):
                await self._settle(await settlement.of_order(order_id))

    async def release(self, order_id: UUID) -> None:
        """Give back what was reserved for an order that will never be; the resolver of stale reservations would, too, but later."""
        with contextlib.suppress(SomsError):
            await self._products.settle_stock(v1.SettleStockRequest([v1.Settlement(str(order_id), 1, "abandoned")]))

    async def _settle(self, batch: list[Unsettled]) -> None:
        settlements = [
            v1.Settlement(u.order_id, u.version, u.status, [v1.ReturnedLine(sku, pieces) for sku, pieces in u.returned.items()])
            for u in batch
        ]
        with context.calling(context.Call(deadline=time.monotonic() + CALL_SECONDS)):
            await self._products.settle_stock(v1.SettleStockRequest(settlements))
        await settlement.mark([u.row for u in batch])
