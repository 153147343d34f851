"""Figures over REST: what is asked of the agent, and what is refused before anybody is asked."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from soms.errors import Unavailable
from tests.web.samples import agent_answers

RANGE = "from=2026-11-01T00:00:00Z&to=2026-11-22T10:00:00%2B01:00"
ASKED = {"from": "2026-11-01T00:00:00.000000Z", "to": "2026-11-22T09:00:00.000000Z"}


CUT = {"interval": "week", "by": "country", "time_zone": "Europe/London"}


@pytest.fixture
def staff(token: Any) -> str:
    """A token of staff."""
    made: str = token("staff")
    return made


@pytest.mark.parametrize(
    "question",
    [
        ("/live", "", {}),
        ("/summary", f"{RANGE}&interval=week&by=country&time_zone=Europe/London", ASKED | CUT),
        ("/top-products", f"{RANGE}&limit=5&order=units", ASKED | {"limit": 5, "order": "units"}),
        ("/top-products", RANGE, ASKED | {"limit": 10, "order": "revenue"}),
        ("/overview", RANGE, ASKED),
        ("/funnel", RANGE, ASKED),
        ("/cohorts", f"{RANGE}&time_zone=Asia/Tokyo", ASKED | {"time_zone": "Asia/Tokyo"}),
        ("/top-customers", f"{RANGE}&limit=3", ASKED | {"limit": 3}),
        ("/findings", "limit=4", {"limit": 4}),
    ],
)
async def test_questions_and_answers_pass_through(client: Any, agents: Any, staff: str, question: tuple[str, str, Any]) -> None:
    """The agent is asked in UTC, with what goes without saying said, and answers in the words of REST."""
    path, query, asked = question
    reply = await client("GET", f"/analytics{path}?{query}", token=staff)

    assert (reply.status, reply.json, reply.headers["Cache-Control"]) == (200, agent_answers()["GET", path], "no-store")
    assert agents.calls == [("ANALYTICS-SERVICE", "GET", path, None, asked)]


@pytest.mark.parametrize(("interval", "days"), [("day", 30), ("minute", 1)])
async def test_a_range_that_is_not_said(client: Any, agents: Any, staff: str, interval: str, days: int) -> None:
    """It is the last 30 days, by days; in minutes, the last day."""
    asked = "" if interval == "day" else f"?interval={interval}"
    assert (await client("GET", f"/analytics/summary{asked}", token=staff)).status == 200
    query = agents.calls[0][4]
    start, end = (datetime.fromisoformat(query[name]) for name in ("from", "to"))

    assert end - start == timedelta(days=days)
    assert abs(datetime.now(UTC) - end) < timedelta(seconds=5)
    assert (query["interval"], query["by"], query["time_zone"]) == (interval, None, None)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("summary?from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z", "from"),
        ("summary?from=yesterday", "from"),
        ("summary?from=2026-11-02", "from"),
        ("summary?to=2026-11-02T00:00:00", "to"),
        ("summary?interval=year", "interval"),
        ("summary?by=colour", "by"),
        ("summary?time_zone=Mars/Olympus", "time_zone"),
        ("summary?from=2000-01-01T00:00:00Z&to=2026-11-01T00:00:00Z&interval=minute", "from"),
        ("summary?from=9999-12-31T00:00:00Z&to=0001-01-01T00:00:00Z", "from"),
        ("summary?limit=1", "limit"),
        ("top-products?limit=0", "limit"),
        ("top-products?limit=101", "limit"),
        ("top-products?order=name", "order"),
        ("funnel?from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z", "from"),
        ("overview?by=product", "by"),
        ("findings?limit=all", "limit"),
        ("cohorts?time_zone=", "time_zone"),
    ],
)
async def test_what_cannot_be_meant(client: Any, agents: Any, staff: str, query: str, field: str) -> None:
    """It is refused by the name of the parameter."""
    reply = await client("GET", f"/analytics/{query}", token=staff)

    assert reply.problem == (400, "invalid_parameter")
    assert [error["field"] for error in reply.json["errors"]] == [field]
    assert agents.calls == []


@pytest.mark.parametrize(
    "query", ["to=0001-01-01T00:00:00Z", "from=9999-12-31T23:59:59Z", "from=2026-11-01T00:00:00Z&to=2026-11-01T00:00:00Z"]
)
async def test_the_ends_of_time(client: Any, staff: str, query: str) -> None:
    """A range at either end of the calendar, or without length, is one all the same."""
    assert (await client("GET", f"/analytics/overview?{query}", token=staff)).status == 200


async def test_live_takes_no_query(client: Any, staff: str) -> None:
    """What is now has no range."""
    assert (await client("GET", "/analytics/live?from=2026-11-01T00:00:00Z", token=staff)).problem == (400, "invalid_parameter")


async def test_without_an_agent(client: Any, agents: Any, staff: str) -> None:
    """Nobody there is 503, with a time to come back."""
    agents.answers["GET", "/live"] = Unavailable("no ANALYTICS-SERVICE answers", retry_after=1)
    reply = await client("GET", "/analytics/live", token=staff)

    assert (reply.problem, reply.headers["Retry-After"]) == ((503, "unavailable"), "1")


async def test_times_of_findings(client: Any, agents: Any, staff: str) -> None:
    """However the agent writes its times, REST writes them in UTC with microseconds."""
    [finding] = agents.answers["GET", "/findings"]["items"]
    finding |= {"start": "2026-11-22T11:00:00+01:00", "created_at": "2026-11-22T10:00:01.5Z"}
    [told] = (await client("GET", "/analytics/findings", token=staff)).json["items"]

    assert (told["start"], told["created_at"]) == ("2026-11-22T10:00:00.000000Z", "2026-11-22T10:00:01.500000Z")
