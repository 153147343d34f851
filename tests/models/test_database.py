"""Connections, transactions and migrations against the real server."""

import asyncio
import random
from pathlib import Path

import asyncpg
import pytest
from tortoise.connection import get_connection

from soms.config import Settings
from soms.models.database import POOL_SIZE, SCHEMAS, fetch, owner_address, tortoise_config, transaction
from soms.models.schema import migrate


async def storm(begin: object, calls: int) -> int:
    """Cancel `calls` transactions at random moments; the number of connections of the pool that are idle and well afterwards."""
    generator = random.Random(7)

    async def one() -> None:
        async with begin():  # type: ignore[operator]
            await fetch("orders", "select pg_sleep(0.0005)")

    for _ in range(calls // 24):
        tasks = [asyncio.create_task(one()) for _ in range(24)]
        for task in tasks:
            await asyncio.sleep(generator.random() * 0.0003)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    pool = get_connection("orders")._pool
    taken = [await asyncio.wait_for(pool.acquire(timeout=1), 2) for _ in range(POOL_SIZE)]
    for connection in taken:
        assert not connection.is_in_transaction()
        await pool.release(connection)
    return len(taken)


async def test_cancelled_transactions_leave_the_pool_whole(database: None) -> None:
    """2,400 transactions cancelled at random moments cost no connection."""
    assert await storm(lambda: transaction("orders"), 2_400) == POOL_SIZE


async def test_rollback_and_savepoint(database: None) -> None:
    """An exception undoes what its own block did, and no more."""
    insert = "insert into attempt (order_id, state) values (uuidv7(), $1)"
    async with transaction("orders"):
        await fetch("orders", insert, "PLACED")
        with pytest.raises(KeyError):
            async with transaction("orders"):
                await fetch("orders", insert, "ABANDONED")
                raise KeyError
    assert [row["state"] for row in await fetch("orders", "select state from attempt")] == ["PLACED"]


def test_the_password_of_the_owner_may_be_a_secret(tmp_path: Path) -> None:
    """A setting without one gets it from the file, whatever is in it; only for who needs the owner."""
    (tmp_path / "postgres").write_text("a/b@c\n")
    settings = Settings(secrets_folder=tmp_path, postgres="postgresql://owner@db.example:5433/shop")

    assert owner_address(settings) == "postgresql://owner:a%2Fb%40c@db.example:5433/shop"
    assert tortoise_config(settings, "orders", owner=True)["connections"]["orders"]["credentials"]["password"] == "a/b@c"
    named = Settings(secrets_folder=tmp_path, postgres="postgresql://owner:own@db.example/shop")
    assert owner_address(named) == named.postgres


async def test_two_migrators_at_once(settings: Settings, server: object) -> None:
    """Migrating again, by two at once, changes nothing and breaks nothing."""
    await asyncio.gather(migrate(settings), migrate(settings))


@pytest.mark.parametrize("schema", SCHEMAS)
async def test_role_touches_nothing_else(schema: str, connections: None) -> None:
    """A service's role can neither read nor list the tables of another service."""
    for other in set(SCHEMAS) - {schema}:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await fetch(schema, f"select * from {other}.outbox")
