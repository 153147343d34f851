"""`soms outbox` as people use it."""

import asyncio
import datetime as dt
import os
import sys

import click
import pytest

from soms.cli.outbox import Moment
from soms.config import Settings
from soms.models.database import fetch

FILL = """
insert into outbox (type, topic, key, payload, created_at, published_at)
select 'soms.order.paid.v1', 'soms.orders', 'key-' || n, '{}', now() - n * interval '1 hour', now() from generate_series(5, 1, -1) as n
"""
COUNT = "select count(*) as waiting from outbox where published_at is null"


@pytest.fixture
async def outbox(database: None) -> None:
    """Five published events, one an hour."""
    await fetch("orders", FILL)


async def soms(settings: Settings, *arguments: str, answer: str = "") -> tuple[int | None, str]:
    """The exit code of a command and what it says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "soms", "outbox", *arguments),
        env=os.environ | {"SOMS_HOME": str(settings.home), "SOMS_POSTGRES": str(settings.postgres)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(30):
        said, _ = await process.communicate(answer.encode())
    return process.returncode, said.decode()


async def waiting() -> int:
    """How many events wait."""
    return int((await fetch("orders", COUNT))[0]["waiting"])


async def test_status_shows_each_schema(settings: Settings, outbox: None) -> None:
    """A line each, with what waits and what went."""
    await fetch("orders", "update outbox set published_at = null where key = 'key-2'")
    code, said = await soms(settings, "status")
    lines = said.splitlines()

    assert (code, [line.split()[0] for line in lines]) == (0, ["schema", "users", "products", "orders", "analytics"])
    assert lines[1].split() == ["users", "0", "-", "0", "-"]
    assert lines[3].split()[:2] == ["orders", "1"]
    assert lines[3].split()[4:] == ["4", "key-2", "(1)"]


async def test_redrive_asks_first(settings: Settings, outbox: None) -> None:
    """Only a yes counts, and the question says how many."""
    refused = await soms(settings, "redrive", "--since", "150m", answer="n\n")
    assert (refused[0], await waiting()) == (1, 0)
    assert "Send 2 events again?" in refused[1]
    granted = await soms(settings, "redrive", "--since", "150m", answer="y\n")

    assert (granted[0], await waiting()) == (0, 2)
    assert granted[1].endswith("2 events go out again\n")


async def test_redrive_of_a_key_without_asking(settings: Settings, outbox: None) -> None:
    """As scripts want it; what is not there is no failure."""
    assert await soms(settings, "redrive", "--key", "key-3", "--yes") == (0, "1 events go out again\n")
    assert await soms(settings, "redrive", "--topic", "soms.users", "--yes") == (0, "0 events go out again\n")
    assert await waiting() == 1


async def test_redrive_wants_a_choice(settings: Settings, outbox: None) -> None:
    """All that ever was is not sent by a slip of the hand."""
    code, said = await soms(settings, "redrive", "--yes")

    assert (code, await waiting()) == (2, 0)
    assert "name --since, --topic or --key" in said


def test_times_as_people_say_them() -> None:
    """So long ago, or a time with a zone, UTC without."""
    ago = dt.datetime.now(dt.UTC) - Moment().convert("2h", None, None)

    assert abs(ago - dt.timedelta(hours=2)) < dt.timedelta(minutes=1)
    assert Moment().convert("2026-01-31T12:00", None, None) == dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
    assert Moment().convert("2026-01-31T12:00+01:00", None, None) == dt.datetime(2026, 1, 31, 11, tzinfo=dt.UTC)
    with pytest.raises(click.BadParameter, match="neither like 2h"):
        Moment().convert("yesterday", None, None)
