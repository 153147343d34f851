"""Findings as a process looks for them: after each full hour, once in all workers, and over HTTP."""

import asyncio
import datetime as dt
import zoneinfo
from uuid import uuid4

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from soms.agents.findings import Findings, message, routes
from soms.agents.process import Vitals, listening
from soms.agents.rendering import FALLBACK, Reader
from soms.config import Settings
from soms.models.database import fetch
from soms.models.unusual import Unusual
from soms.tokens import Signer, Verifier

UTC = zoneinfo.ZoneInfo("UTC")
NOON = dt.datetime(2026, 6, 17, 12, tzinfo=dt.UTC)
FACTS = """
insert into order_fact (order_id, version, number, currency, status, total, units, placed_at)
select uuidv7(), 1, 'S-1', 'GBP', 'placed', 1000, 1, $1::timestamptz + n * interval '1 second' from generate_series(1, $2::int) as n
"""


class Clock:
    """Shows what a test says; history has read all before `read`."""

    def __init__(self) -> None:
        self.now, self.complete = NOON + dt.timedelta(hours=1, minutes=3), True

    def __call__(self) -> dt.datetime:
        """The time."""
        return self.now

    async def read(self, _: dt.datetime) -> bool:
        """Whether history has it."""
        return self.complete


@pytest.fixture
async def clock(database: None) -> Clock:
    """Some minutes after an hour with sixty orders where ten are usual."""
    for week in range(1, 10):
        await fetch("analytics", FACTS, NOON - dt.timedelta(weeks=week), 10)
    await fetch("analytics", FACTS, NOON, 60)
    return Clock()


async def told() -> list[tuple[str, str]]:
    """What was told so far."""
    return [(row["metric"], row["message"]) for row in await fetch("analytics", "select metric, message from finding order by metric")]


async def test_a_full_hour_is_judged_once_in_all_workers(clock: Clock) -> None:
    """Three workers at a time and again an hour later: each finding once, with one event."""
    workers = [Findings(UTC, clock.read, clock) for _ in range(3)]
    await asyncio.gather(*(worker.run_once() for worker in workers))
    for worker in workers:
        await worker.run_once()
    clock.now += dt.timedelta(hours=1)
    for worker in workers:
        await worker.run_once()

    found = await told()
    assert [metric for metric, _ in found] == ["orders", "revenue"]
    assert found[0][1].startswith("60 orders in an hour, usual are 10")
    [row] = await fetch("analytics", "select count(*) as events from outbox")
    assert row["events"] == 2


async def test_an_hour_is_not_judged_before_it_is_over_and_read(clock: Clock) -> None:
    """Not a minute after its end, nor while history is behind; then it is."""
    worker = Findings(UTC, clock.read, clock)
    clock.now = NOON + dt.timedelta(hours=1, minutes=1)
    await worker.run_once()
    assert await told() == []
    clock.now, clock.complete = NOON + dt.timedelta(hours=1, minutes=3), False
    await worker.run_once()
    assert await told() == []
    clock.complete = True
    await worker.run_once()
    assert len(await told()) == 2


async def test_findings_over_http(clock: Clock, settings: Settings) -> None:
    """Staff read the newest, customers do not; a limit that is none is refused."""
    await Findings(UTC, clock.read, clock).run_once()
    signer, found = Signer(settings), routes(Verifier(settings))
    async with (
        listening("127.0.0.1", Vitals(registry=CollectorRegistry()), routes=found) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):

        async def ask(limit: str, role: str = "staff") -> tuple[int, dict[str, list[dict[str, object]]]]:
            headers = {"Authorization": f"Bearer {signer.access_token(uuid4(), [role])}"}
            async with session.get("/findings", params={"limit": limit}, headers=headers) as answer:
                return answer.status, await answer.json()

        status, document = await ask("1")
        assert status == 200
        assert len(document["items"]) == 1
        assert document["items"][0]["kind"] == "high"
        assert [(await ask(limit))[0] for limit in ("0", "x", "101")] == [400, 400, 400]
        assert (await ask("1", "customer"))[0] == 403


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (("revenue", "GBP", NOON, "high", 3600, 123456.4, 900000.0, 0), "Ordered for £9,000.00 in an hour, usual are £1,234.56."),
        (
            ("cancellation_rate", None, NOON, "high", 3600, 0.021, 0.5, 0),
            "50% of what was ordered and cancelled in an hour were cancellations, usual are 2%.",
        ),
        (("orders", None, NOON, "low", 3600, 1234.4, 0.0, 0), "0 orders in an hour, usual are 1,234."),
        (
            ("product", "MUG", NOON, "high", 86400, 0.213, 12.0, 0, "Mug"),
            "Mug (MUG) suddenly sells: 12 orders in a day, usual are 0.21.",
        ),
        (
            ("product", "MUG", NOON, "low", 604800, 31.2, 0.0, 0, "Mug"),
            "Mug (MUG) has stopped selling: no orders in 7 days, usual are 31.",
        ),
    ],
)
def test_sentences(one: tuple[object, ...], said: str) -> None:
    """Each kind of finding is a sentence with its figures."""
    assert message(Unusual(*one), Reader(FALLBACK, UTC)) == said  # type: ignore[arg-type]
