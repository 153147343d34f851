"""The way out of an outbox: who has the turn, what waits, and why it is asked for in this way and no other."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any

import asyncpg
import pytest

from soms.config import Settings
from soms.errors import Unavailable
from soms.models import outlet as module
from soms.models.database import fetch, session, transaction
from soms.models.outlet import Outlet

WRITE = "insert into outbox (type, topic, key, payload) values ('soms.order.paid.v1', 'soms.orders', $1, $2) returning id"
WRITERS = 16
Ids = list[int]
Read = Callable[[], Awaitable[Ids]]


async def write(key: str, payload: str = "{}") -> int:
    """Write an event; its row."""
    return int((await fetch("orders", WRITE, key, payload))[0]["id"])


@pytest.fixture
async def outlet(settings: Settings, database: None) -> AsyncIterator[Outlet]:
    """The outlet of orders, ours."""
    outlet = Outlet(settings, "orders", lambda: None)
    assert await outlet.turn()
    yield outlet
    await outlet.close()


async def ids(outlet: Outlet, held: Collection[str] = ()) -> Ids:
    """The rows that wait."""
    return [row["id"] for row in await outlet.waiting(held)]


async def test_one_has_the_turn_and_the_next_gets_it(settings: Settings, outlet: Outlet) -> None:
    """A second one asks in vain until the first is gone; each outbox has a turn of its own."""
    spare, users = Outlet(settings, "orders", lambda: None), Outlet(settings, "users", lambda: None)

    assert (await spare.turn(), await users.turn(), await outlet.turn()) == (False, True, True)
    await outlet.close()
    assert await spare.turn()
    await spare.close()
    await users.close()


async def test_what_waits_comes_by_id_without_held_keys(outlet: Outlet) -> None:
    """Oldest first; a held key is left out with all its rows; what is published waits no more."""
    first, second, third = await write("a"), await write("b"), await write("a")

    assert await ids(outlet) == [first, second, third]
    assert await ids(outlet, {"a"}) == [second]
    await outlet.published([first, third])
    assert await ids(outlet) == [second]


async def test_pages_have_bounds(outlet: Outlet, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most so many rows, and so many bytes, but always one."""
    sizes = [module.BATCH_BYTES // 2, module.BATCH_BYTES // 2 + 1, 10, module.BATCH_BYTES + 1]
    rows = [await write("a", "x" * size) for size in sizes]
    await fetch("orders", "insert into outbox (type, topic, key, payload) select 't', 't', 'b', '{}' from generate_series(1, 600)")

    assert await ids(outlet) == rows[:2]
    await outlet.published(rows[:2])
    assert await ids(outlet) == rows[2:4]
    await outlet.published(rows[2:])
    assert len(await ids(outlet)) == module.BATCH


async def test_nothing_is_slept_through(outlet: Outlet, eventually: Any) -> None:
    """While a writer is under way the outlet does not rest; once it rests, the next writer wakes it."""
    woken = asyncio.Event()
    outlet._wake = woken.set
    async with transaction("orders"):
        row = await write("a")
        assert (await ids(outlet), outlet.resting) == ([], False)
    assert await ids(outlet) == [row]
    await outlet.published([row])
    assert (await ids(outlet), outlet.resting, woken.is_set()) == ([], True, False)
    row = await write("b")
    await asyncio.wait_for(woken.wait(), 2)
    assert (await ids(outlet), outlet.resting) == ([row], False)


async def test_a_busy_outlet_is_told_nothing(outlet: Outlet) -> None:
    """Whoever does not rest costs the writers no notification."""
    told: list[object] = []
    outlet._wake = lambda: told.append(1)
    for _ in range(10):
        await write("a")
        await ids(outlet)

    assert (told, outlet.resting) == ([], False)


async def test_a_silent_session_loses_its_turn(settings: Settings, database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends the session of a relay that is frozen; the block under way hears of it, and the turn is free."""
    monkeypatch.setattr(module, "SILENCE_SECONDS", 1)
    frozen, spare = Outlet(settings, "orders", lambda: None), Outlet(settings, "orders", lambda: None)
    assert await frozen.turn()
    gone = asyncio.Event()
    with frozen.lost(gone.set):
        await asyncio.wait_for(gone.wait(), 5)

    assert await spare.turn()
    with pytest.raises(Unavailable):
        await frozen.waiting([])
    await frozen.close()
    await spare.close()


def cursor(reader: asyncpg.Connection) -> Read:
    """The broken twin: goes on after the last id it saw."""
    last = 0

    async def read() -> Ids:
        nonlocal last
        found = [row["id"] for row in await reader.fetch("select id from outbox where id > $1 order by id", last)]
        last = max(found, default=last)
        return found

    return read


def flags(outlet: Outlet) -> Read:
    """Ours."""

    async def read() -> Ids:
        found = await ids(outlet)
        await outlet.published(found)
        return found

    return read


@pytest.mark.parametrize("twin", [False, True])
async def test_no_commit_is_missed(settings: Settings, outlet: Outlet, *, twin: bool) -> None:
    """Ids are not in the order of commits: under 16 writers a reader that follows them loses events, ours does not."""
    connections = [await session(settings, "orders") for _ in range(WRITERS + 1)]
    read = cursor(connections[-1]) if twin else flags(outlet)
    seen: Ids = []

    async def writing(connection: asyncpg.Connection, chance: random.Random) -> Ids:
        written = []
        for _ in range(25):
            async with connection.transaction():
                written.append(await connection.fetchval(WRITE, "a", "{}"))
                await connection.execute("select pg_sleep($1)", chance.random() / 200)
        return written

    writers = asyncio.gather(*(writing(connection, random.Random(n)) for n, connection in enumerate(connections[:-1])))
    while not writers.done():
        seen += await read()
        await asyncio.sleep(0)
    seen += await read()
    for connection in connections:
        await connection.close()
    missed = {row for rows in await writers for row in rows} - set(seen)

    assert bool(missed) == twin


SKIPPING = "select id from outbox where published_at is null order by id for update skip locked"


@pytest.mark.parametrize("twin", [False, True])
async def test_a_locked_row_is_not_overtaken(settings: Settings, outlet: Outlet, *, twin: bool) -> None:
    """While somebody else has a row locked, skipping locked rows would let the next event of its key go first."""
    first, second = await write("a"), await write("a")
    reader = await session(settings, "orders")
    async with transaction("orders"):
        await fetch("orders", "select 1 from outbox where id = $1 for update", first)
        seen = [row["id"] for row in await reader.fetch(SKIPPING)] if twin else await ids(outlet)
    await reader.close()

    assert seen == ([second] if twin else [first, second])
