"""A second history beside the first: made empty, filled by a rebuild, and put in its place in one transaction. Knows no Kafka.

Whoever projects writes into both while there are two, so that nothing is lost between what a rebuild has read and what comes.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg

from soms.config import Settings
from soms.errors import Aborted
from soms.models.database import outages, owner_address, role
from soms.models.history_projection import FACTS_LOCK, SCHEMA, SHADOW

TABLES: Final = ("order_fact", "line_fact")
# held by a rebuild from its beginning to its end
REBUILD_LOCK: Final = 7_236_851
WAIT: Final = f"set local lock_timeout = '10s'; select pg_advisory_xact_lock({FACTS_LOCK})"
DROP: Final = f"drop schema if exists {SHADOW} cascade"
# indexes and rules get the very names they have beside the first tables
MAKE: Final = [
    DROP,
    f"create schema {SHADOW}",
    *(f"create table {SHADOW}.{table} (like {SCHEMA}.{table} including all)" for table in TABLES),
    f"alter table {SHADOW}.order_fact set (fillfactor = 80)",
    f"grant usage on schema {SHADOW} to {role(SCHEMA)}",
    f"grant select, insert, update, delete on all tables in schema {SHADOW} to {role(SCHEMA)}",
]
SWAP: Final = [
    f"drop table {', '.join(f'{SCHEMA}.{table}' for table in TABLES)}",
    *(f"alter table {SHADOW}.{table} set schema {SCHEMA}" for table in TABLES),
    DROP,
]


class Copy:
    """Empty tables beside the first ones, by a connection of the owner."""

    def __init__(self, connection: Any) -> None:
        """Use `connection`."""
        self._connection = connection

    async def swap(self) -> None:
        """Put the copy in the place of what stands; who reads sees one or the other."""
        await _alone(self._connection, SWAP)


@contextlib.asynccontextmanager
async def copied(settings: Settings) -> AsyncIterator[Copy]:
    """An empty copy, dropped at the end unless it was swapped. Raises Aborted, `in_flight`, beside another rebuild, and Unavailable."""
    with outages():
        connection = await asyncpg.connect(owner_address(settings), timeout=10)
        try:
            if not await connection.fetchval(f"select pg_try_advisory_lock({REBUILD_LOCK})"):
                raise Aborted("a rebuild is under way", reason="in_flight")
            await _alone(connection, MAKE)
            try:
                yield Copy(connection)
            finally:
                await _alone(connection, [DROP])
        finally:
            await connection.close(timeout=5)


async def _alone(connection: Any, statements: list[str]) -> None:
    """In one transaction, while nobody projects."""
    async with connection.transaction():
        for statement in (WAIT, *statements):
            await connection.execute(statement)
