"""`soms migrate`: roles, schemas and tables, made or brought up to date under an advisory lock. Never run by a service at its start."""

import contextlib
from collections.abc import AsyncIterator

import asyncpg
from tortoise.context import TortoiseContext
from tortoise.migrations.api import migrate as tortoise_migrate

from soms.config import Settings
from soms.models.database import SCHEMAS, outages, owner_address, role, tortoise_config

# any number of our own will do, as long as it stays the same
MIGRATION_LOCK = 7_236_846_573
LIMITS = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
    # a prepared statement keeps the plan it got while its tables were small; reading them whole would be slower with every order
    "enable_seqscan": "off",
}
# figures of a year sort and join all of its lines: in memory that takes half the time
MORE = {"analytics": {"work_mem": "64MB"}}


async def migrate(settings: Settings) -> None:
    """Bring the database to the newest migration; two at once wait for each other. Raises Unavailable without PostgreSQL."""
    async with _alone(settings) as connection:
        for schema in SCHEMAS:
            await _prepare(connection, schema, settings.secret(f"role-{schema}"))
        config = tortoise_config(settings, *SCHEMAS, owner=True)
        async with TortoiseContext():
            await tortoise_migrate(config=config)
        for schema in SCHEMAS:
            await _grant(connection, schema)


@contextlib.asynccontextmanager
async def _alone(settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    with outages():
        connection = await asyncpg.connect(owner_address(settings), timeout=10)
    try:
        await connection.execute("select pg_advisory_lock($1)", MIGRATION_LOCK)
        yield connection
    finally:
        await connection.close(timeout=5)


async def _prepare(connection: asyncpg.Connection, schema: str, password: str) -> None:
    """The schema, and a role that may log in and whose statements end in time."""
    name = role(schema)
    if not await connection.fetchval("select 1 from pg_roles where rolname = $1", name):
        await connection.execute(f"create role {name}")
    # a password cannot be a parameter; ours is hexadecimal
    await connection.execute(f"alter role {name} login password '{password}'")
    for limit, value in (LIMITS | MORE.get(schema, {})).items():
        await connection.execute(f"alter role {name} set {limit} = '{value}'")
    await connection.execute(f"create schema if not exists {schema}")


async def _grant(connection: asyncpg.Connection, schema: str) -> None:
    """Rows of its own schema and nothing else, of today's tables and tomorrow's."""
    name = role(schema)
    database = await connection.fetchval("select current_database()")
    await connection.execute(f'revoke all on database "{database}" from public; grant connect on database "{database}" to {name}')
    await connection.execute("revoke all on schema public from public")
    await connection.execute(f"grant usage on schema {schema} to {name}")
    await connection.execute(f"grant select, insert, update, delete on all tables in schema {schema} to {name}")
    await connection.execute(f"grant usage on all sequences in schema {schema} to {name}")
