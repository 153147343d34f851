"""`soms audit` in the database: reads all schemas as their owner, in one snapshot, and changes nothing. Knows no Kafka.

What is under way looks like a difference for a moment. So whatever differs is looked at again, each time in a new snapshot, and only
what differed every time is told.
"""

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

import asyncpg

from soms.config import Settings
from soms.models.audit_check import MOST_BREACHES, Breach, Check, Result
from soms.models.audit_history import HISTORY
from soms.models.audit_notifications import NOTIFICATION
from soms.models.audit_orders import ORDER
from soms.models.audit_outbox import KNOWN, WAITING
from soms.models.audit_reservations import RESERVATION
from soms.models.audit_stock import STOCK
from soms.models.database import outages, owner_address

CHECKS: Final = (*STOCK, *ORDER, *RESERVATION, *WAITING, *NOTIFICATION, *HISTORY)
AGAIN_SECONDS: Final = 1.0
STATEMENT_SECONDS: Final = 300.0
PAGE: Final = 10_000


class Known(NamedTuple):
    """An event of an outbox."""

    event_id: UUID
    topic: str
    key: str
    published: bool
    created_at: dt.datetime


async def audited(settings: Settings, patience_seconds: float, checks: Sequence[Check] = CHECKS) -> list[Result]:
    """What each check finds, once all that is under way has had so long to arrive. Raises Unavailable without PostgreSQL."""
    results = {result.name: result for result in await _look(settings, checks)}
    until = time.monotonic() + patience_seconds
    while (doubtful := [check for check in checks if results[check.name].breaches]) and time.monotonic() < until:
        await asyncio.sleep(AGAIN_SECONDS)
        for again in await _look(settings, doubtful):
            before = {breach.key for breach in results[again.name].breaches}
            again.breaches = [breach for breach in again.breaches if breach.key in before]
            results[again.name] = again
    return list(results.values())


async def known(settings: Settings) -> list[Known]:
    """Every event in the outboxes, in one snapshot."""
    async with _snapshot(settings) as connection:
        return [Known(*row) async for row in connection.cursor(KNOWN, prefetch=PAGE)]


async def look(connection: asyncpg.Connection, checks: Sequence[Check] = CHECKS) -> list[Result]:
    """What each check finds at this moment, in the transaction under way."""
    return [await _checked(connection, check) for check in checks]


async def _look(settings: Settings, checks: Sequence[Check]) -> list[Result]:
    async with _snapshot(settings) as connection:
        return await look(connection, checks)


async def _checked(connection: asyncpg.Connection, check: Check) -> Result:
    things = await connection.fetchval(check.things)
    # in an order, so that a look at the first of many sees the same ones again
    rows = await connection.fetch(f"select * from ({check.breaches}) as one (key, found, wanted) order by key limit {MOST_BREACHES}")
    return Result(check.name, check.rule, check.remedy, int(things or 0), [Breach(*row) for row in rows])


@contextlib.asynccontextmanager
async def _snapshot(settings: Settings) -> AsyncIterator[Any]:
    with outages():
        connection = await asyncpg.connect(owner_address(settings), timeout=10, command_timeout=STATEMENT_SECONDS)
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                yield connection
        finally:
            await connection.close(timeout=5)
