"""Figures over HTTP, as the gateway asks for them: who may ask, what may be asked, refusals by the names of REST."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from soms.agents.history_views import routes
from soms.agents.process import Vitals, listening
from soms.config import Settings
from soms.tokens import Signer, Verifier

PERSON = UUID(int=1, version=4)
PATHS = ["/summary", "/top-products", "/overview", "/funnel", "/cohorts", "/top-customers"]
Ask = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
async def ask(database: None, settings: Settings) -> AsyncIterator[Ask]:
    """Asks for a path in a role, and gives status and document."""
    signer = Signer(settings)
    async with (
        listening("127.0.0.1", Vitals(registry=CollectorRegistry()), routes=routes(Verifier(settings))) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):

        async def one(path: str, role: str = "staff", **query: str) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {signer.access_token(PERSON, ['customer', role])}"} if role else {}
            async with session.get(path, params=query, headers=headers) as answer:
                return answer.status, await answer.json()

        yield one


@pytest.mark.parametrize("path", PATHS)
async def test_staff_alone(ask: Ask, path: str) -> None:
    """Staff get a document, without any parameter too; others get none."""
    assert (await ask(path))[0] == 200
    assert (await ask(path, "customer"))[0] == 403
    assert (await ask(path, ""))[0] == 401


@pytest.mark.parametrize(
    ("path", "query", "field"),
    [
        ("/summary", {"from": "yesterday"}, "from"),
        ("/overview", {"to": "2026-01-01T00:00:00"}, "to"),
        ("/funnel", {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "from"),
        ("/summary", {"interval": "year"}, "interval"),
        ("/summary", {"by": "email"}, "by"),
        ("/summary", {"time_zone": "Mars/Olympus"}, "time_zone"),
        ("/cohorts", {"time_zone": "../etc"}, "time_zone"),
        ("/top-products", {"order": "name"}, "order"),
        ("/top-products", {"limit": "0"}, "limit"),
        ("/top-customers", {"limit": "101"}, "limit"),
        ("/top-customers", {"limit": "-1"}, "limit"),
        ("/summary", {"from": "2020-01-01T00:00:00Z", "interval": "minute"}, "from"),
        ("/overview", {"from": "0001-01-01T00:00:00+14:00"}, "from"),
    ],
)
async def test_what_cannot_be_asked(ask: Ask, path: str, query: dict[str, str], field: str) -> None:
    """Is refused by the name of the parameter."""
    status, document = await ask(path, **query)
    assert (status, document["reason"]) == (400, "invalid_parameter")
    assert [error["field"] for error in document["details"]["errors"]] == [field]


async def test_a_range_of_all_time(ask: Ask) -> None:
    """Is answered, whatever the zone."""
    far = {"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"}
    for path in PATHS:
        for zone in ("Pacific/Kiritimati", "America/Los_Angeles"):
            status, _ = await ask(path, **far, time_zone=zone, interval="month")
            assert status == 200, path


async def test_days_of_nothing(ask: Ask) -> None:
    """Thirty days and the present one, unless a range is said."""
    _, document = await ask("/summary")
    assert len(document["items"]) == 31
    assert document["items"][0].keys() == {"start", "key", "orders", "units", "revenue", "cancelled", "returned"}
