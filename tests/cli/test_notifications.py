"""`soms notifications` as people use it."""

import asyncio
import os
import sys

import pytest

from soms.config import Settings
from soms.models.database import fetch

FILL = """
insert into notification (event_id, event_type, channel, recipient, status, payload, attempts, sent_at)
select uuidv7(), 'soms.order.paid.v1', channel, 'p' || n || '@example.org', status, '{}',
       jsonb_build_array(jsonb_build_object('at', now(), 'outcome', 'refused', 'detail', '550 no ' || n)), now()
  from generate_series(1, 3) as n, (values ('email', 'failed'), ('sms', 'failed'), ('email', 'sent')) as kind (channel, status)
"""


@pytest.fixture
async def filled(database: None) -> None:
    """Three mails and three text messages that were given up, and three that arrived."""
    await fetch("notifications", FILL)


async def soms(settings: Settings, *arguments: str) -> tuple[int | None, list[str]]:
    """The exit code of a command and the lines it says."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "soms", "notifications", *arguments),
        env=os.environ | {"SOMS_HOME": str(settings.home), "SOMS_POSTGRES": str(settings.postgres)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    return process.returncode, said.decode().splitlines()


async def states() -> list[tuple[str, str, int]]:
    """Channels and states, and how many."""
    return [
        tuple(row) for row in await fetch("notifications", "select channel, status, count(*) from notification group by 1, 2 order by 1, 2")
    ]


async def test_list_shows_what_is_asked_for(settings: Settings, filled: None) -> None:
    """A line each, newest first, with what was said last."""
    code, lines = await soms(settings, "list", "--status", "failed", "--channel", "email", "--limit", "2")

    assert (code, len(lines)) == (0, 2)
    assert lines[0].split()[2:] == ["failed", "email", "p3@example.org", "order.paid.v1", "1", "attempts", "550", "no", "3"]


async def test_redeliver_by_id_and_by_crowd(settings: Settings, filled: None) -> None:
    """What was given up goes again, by channel; one that had arrived by its id."""
    assert await soms(settings, "redeliver", "--failed", "--channel", "sms") == (0, ["3 notifications go out again"])
    assert await states() == [("email", "failed", 3), ("email", "sent", 3), ("sms", "pending", 3)]
    [row] = await fetch("notifications", "select id::text from notification where status = 'sent' limit 1")
    assert await soms(settings, "redeliver", row["id"]) == (0, ["1 notifications go out again"])


async def test_what_cannot_be_sent_again_is_told_of(settings: Settings, filled: None) -> None:
    """By its id and the reason; the others go."""
    await fetch("notifications", "update notification set payload = null where recipient like 'p1%'")
    code, lines = await soms(settings, "redeliver", "--failed")

    assert (code, len(lines), lines[-1]) == (1, 3, "4 notifications go out again")
    assert lines[0].endswith("this cannot be sent again: what it said is not kept any more")
    for wrong in ((), ("--failed", "018f0000-0000-7000-8000-000000000001"), ("7",)):
        assert (await soms(settings, "redeliver", *wrong))[0] == 2
