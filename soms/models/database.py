"""The way to PostgreSQL: connections, transactions and raw statements. One schema and one role per service.

The only module that opens connections. `transaction()` stands in for Tortoise's own, which loses a pooled connection
when its task is cancelled during BEGIN.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any, cast
from urllib.parse import quote, unquote, urlsplit

import asyncpg
from tortoise import Tortoise
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.connection import get_connection, get_connections
from tortoise.exceptions import DBConnectionError

from soms.config import Settings
from soms.errors import FailedPrecondition, Unavailable

log = logging.getLogger(__name__)

SCHEMAS = ("users", "products", "orders", "notifications", "analytics")
# where the tables of a schema are described: its noun, unless another says more
NOUNS = {"analytics": "history"}
# what a lost, full or restarting database raises
OUTAGES = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
    asyncpg.LockNotAvailableError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    DBConnectionError,
    OSError,
    TimeoutError,
)
POOL_SIZE = 8
ACQUIRE_SECONDS = 1.0
STATEMENT_SECONDS = 3.0
WAIT_SECONDS = 60.0


class Session(asyncpg.Connection):  # type: ignore[misc]  # asyncpg is untyped
    """Goes back to its pool without a round trip: nothing of ours outlives a transaction, so there is nothing to reset."""

    def get_reset_query(self) -> str:
        """No statement."""
        return ""


def role(schema: str) -> str:
    """The role that owns the rows of `schema` and can touch nothing else."""
    return f"soms_{schema}"


def address(settings: Settings) -> str:
    """The address of the database, as its owner sees it. Raises FailedPrecondition where there is none."""
    if not settings.postgres:
        raise FailedPrecondition("no PostgreSQL: start the engines (`soms engines`, `soms up`) or set SOMS_POSTGRES")
    return settings.postgres


def owner_address(settings: Settings) -> str:
    """The same with the owner's password: the secret `postgres`, where the setting has none."""
    url = urlsplit(address(settings))
    if url.password or not url.username:
        return url.geturl()
    password = quote(settings.secret("postgres").strip(), safe="")
    return url._replace(netloc=f"{url.username}:{password}@{url.netloc.rpartition('@')[2]}").geturl()


def tortoise_config(settings: Settings, *schemas: str, owner: bool = False) -> dict[str, Any]:
    """Tortoise's configuration: one connection and one app per schema, as the service's role or as the owner of all."""
    url = urlsplit(owner_address(settings) if owner else address(settings))
    return {
        "connections": {
            schema: {
                "engine": "tortoise.backends.asyncpg",
                "credentials": {
                    "host": url.hostname,
                    "port": url.port or 5432,
                    "database": url.path.lstrip("/") or "soms",
                    "user": unquote(url.username or "") if owner else role(schema),
                    "password": unquote(url.password or "") if owner else settings.secret(f"role-{schema}"),
                    "schema": schema,
                    "application_name": f"soms-{schema}",
                    "connection_class": Session,
                    "minsize": 1,
                    "maxsize": POOL_SIZE,
                    "timeout": ACQUIRE_SECONDS * 3,
                    "command_timeout": STATEMENT_SECONDS,
                },
            }
            for schema in schemas
        },
        "apps": {
            schema: {
                "models": [f"soms.models.{NOUNS.get(schema, schema[:-1])}"],
                "default_connection": schema,
                "migrations": f"soms.models.migrations.{schema}",
            }
            for schema in schemas
        },
        "use_tz": True,
        "timezone": "UTC",
    }


@contextlib.asynccontextmanager
async def reachable(settings: Settings, *schemas: str) -> AsyncIterator[None]:
    """Pools of these schemas that open when they are first used, for who can wait until then; closed at the end."""
    await Tortoise.init(config=tortoise_config(settings, *schemas), _enable_global_fallback=True)
    try:
        yield
    finally:
        await Tortoise.close_connections()


@contextlib.asynccontextmanager
async def connected(settings: Settings, *schemas: str) -> AsyncIterator[None]:
    """Open the pools of these schemas and close them at the end.

    Waits for PostgreSQL and for its migrations. Raises Unavailable when they are not there after `WAIT_SECONDS`.
    """
    async with reachable(settings, *schemas):
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                for schema in schemas:
                    await _migrated(schema)
        except TimeoutError as cause:
            raise Unavailable(
                f"PostgreSQL has no migrated schema for {', '.join(schemas)} after {WAIT_SECONDS:.0f} s (soms migrate)"
            ) from cause
        yield


async def _migrated(schema: str) -> None:
    waiting = False
    while True:
        try:
            if await fetch(schema, "select 1 from tortoise_migrations limit 1"):
                return
        except (Unavailable, asyncpg.UndefinedTableError, asyncpg.InvalidAuthorizationSpecificationError) as reason:
            if not waiting:
                log.warning("waiting for schema %s: %s", schema, reason)
            waiting = True
        await asyncio.sleep(0.1)


async def session(settings: Settings, schema: str, **server_settings: str) -> asyncpg.Connection:
    """A connection beside the pools, for what lives as long as its session: advisory locks, listening. The caller closes it.

    Its commits are not waited for (synchronous_commit off): a crash of the server may undo the last of them.
    """
    given = tortoise_config(settings, schema)["connections"][schema]["credentials"]
    return await asyncpg.connect(
        **{name: given[name] for name in ("host", "port", "database", "user", "password", "command_timeout")},
        timeout=ACQUIRE_SECONDS * 3,
        server_settings={
            "search_path": schema,
            "application_name": f"{given['application_name']}-session",
            "synchronous_commit": "off",
            **server_settings,
        },
    )


@contextlib.contextmanager
def outages() -> Iterator[None]:
    """Say Unavailable for whatever a lost database raises."""
    try:
        yield
    except OUTAGES as cause:
        if isinstance(cause, ValueError):  # asyncpg's word for a wrong parameter is an InterfaceError, too
            raise
        raise Unavailable("the database is away", retry_after=1) from cause


async def fetch(schema: str, statement: str, *arguments: Any) -> list[asyncpg.Record]:
    """Run one statement, in the transaction under way if there is one, and give its rows.

    Raises Unavailable while the database is away, and asyncpg's own errors for what the statement did wrong.
    """
    client = cast("AsyncpgDBClient", get_connection(schema))
    if isinstance(client, TransactionWrapper):
        with outages():
            return cast("list[asyncpg.Record]", await client._connection.fetch(statement, *arguments))  # noqa: SLF001 - Tortoise has no public way to asyncpg
    async with _acquired(client) as connection:
        return cast("list[asyncpg.Record]", await connection.fetch(statement, *arguments))


@contextlib.asynccontextmanager
async def transaction(schema: str) -> AsyncIterator[None]:
    """One READ COMMITTED transaction for all models and `fetch` calls of `schema` in this task.

    Inside another transaction of the same schema it is a savepoint. Start no task, RPC or hashing inside.
    """
    client = cast("AsyncpgDBClient", get_connection(schema))
    if isinstance(client, TransactionWrapper):
        async with client._connection.transaction():  # noqa: SLF001 - Tortoise has no public way to asyncpg
            yield
        return
    async with _acquired(client) as connection:
        inner = TransactionWrapper(client)
        inner._connection = connection  # noqa: SLF001 - what Tortoise's own context does
        async with connection.transaction():
            token = get_connections().set(schema, inner)
            try:
                yield
            finally:
                get_connections().reset(token)


@contextlib.asynccontextmanager
async def _acquired(client: AsyncpgDBClient) -> AsyncIterator[asyncpg.Connection]:
    """A pooled connection that comes back to the pool whatever happens, cancellation at any point included."""
    with outages():
        if client._pool is None:  # noqa: SLF001 - opened lazily, as Tortoise does
            async with client._pool_init_lock:  # noqa: SLF001
                if client._pool is None:  # noqa: SLF001
                    await client.create_connection(with_db=True)
        pool = cast("asyncpg.Pool", client._pool)  # noqa: SLF001
        async with pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
            yield connection
