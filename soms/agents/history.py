"""History: the orders' topic into the facts of schema `analytics`, by a plain consumer, which goes on while Faust rebalances."""

import contextlib
from collections.abc import AsyncIterator

from soms.config import Settings
from soms.models.database import reachable


@contextlib.asynccontextmanager
async def history(settings: Settings) -> AsyncIterator[None]:
    """Keep the pool of schema `analytics` reachable for the block, without waiting for PostgreSQL, and project beside it."""
    async with reachable(settings, "analytics"):
        yield
