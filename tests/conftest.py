"""What all tests share: one real PostgreSQL for the run, migrated, with every table empty at the start of a test that asks for it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from xdist.scheduler import LoadScopeScheduling

from soms.config import Settings
from soms.local import postgres
from soms.models.database import SCHEMAS, connected
from soms.models.schema import migrate

TABLES = """
select string_agg(format('%I.%I', schemaname, tablename), ',') from pg_tables
where schemaname = any($1) and tablename <> 'tortoise_migrations'
"""


# what shares a running stack or a broker stays in one process; the longest first, so that two processes end at about the same time
GROUPS = ("tests/e2e/", "tests/agents/worker/", "tests/agents/")
Eventually = Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]


class Groups(LoadScopeScheduling):
    """Tests of a group run in one process, and so do those of any other file."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def group(nodeid: str) -> str:
    """Where a test belongs."""
    return next((one for one in GROUPS if nodeid.startswith(one)), nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    """Have several processes share the tests group by group."""
    return Groups(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long the longest run is."""
    parser.addoption("--orders", type=int, default=20_000, help="how many orders are told while analytics workers are killed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the groups."""
    items.sort(key=lambda item: (*GROUPS, group(item.nodeid)).index(group(item.nodeid)))


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    """A wait until a coroutine function, asked again and again, gives something true; ten seconds unless said."""

    async def wait(condition: Callable[[], Awaitable[object]], seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while not await condition():  # noqa: ASYNC110 - what is waited for happens in another process or a server
                await asyncio.sleep(0.02)

    return wait


@pytest.fixture(scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[postgres.Postgres]:
    """The PostgreSQL server of this run; without fsync, as nothing of it outlives the run."""
    async with postgres.running(tmp_path_factory.mktemp("postgres"), fsync="off") as running:
        yield running


@pytest.fixture(scope="session")
async def settings(server: postgres.Postgres, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a stack of its own, on a migrated database."""
    stack = Settings(home=Path(tmp_path_factory.mktemp("home")), postgres=server.dsn)
    await migrate(stack)
    return stack


@pytest.fixture(scope="session")
async def connections(settings: Settings) -> AsyncIterator[None]:
    """Pools to every schema, each with its own role."""
    async with connected(settings, *SCHEMAS):
        yield


@pytest.fixture
async def database(server: postgres.Postgres, connections: None) -> None:
    """Empty tables."""
    owner = await asyncpg.connect(server.dsn)
    await owner.execute(f"truncate {await owner.fetchval(TABLES, list(SCHEMAS))}")
    await owner.close()
