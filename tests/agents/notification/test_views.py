"""The log over HTTP, as the gateway asks for it: who may see what, filters, refusals as documents."""

import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from soms.agents.notification_views import routes
from soms.agents.process import Vitals, listening
from soms.config import Settings
from soms.models import notification_queue as queue
from soms.models.database import fetch, transaction
from soms.models.notification import Channel
from soms.models.notification_plan import Contact, plan
from soms.tokens import Signer, Verifier

ANN = UUID("018f0000-0000-7000-8000-00000000a001")
Ask = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
def woken() -> list[bool]:
    """How often there was something to send again."""
    return []


@pytest.fixture
async def ask(database: None, stack: Settings, woken: list[bool]) -> AsyncIterator[Ask]:
    """Asks for a method and a path in a role, and gives status and document."""
    signer = Signer(stack)
    found = routes(Verifier(stack), lambda: woken.append(True))
    async with (
        listening("127.0.0.1", Vitals(registry=CollectorRegistry()), routes=found) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):

        async def one(method: str, path: str, role: str = "", **query: str) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {signer.access_token(ANN, {'customer', role})}"} if role else {}
            async with session.request(method, path, params=query, headers=headers) as answer:
                return answer.status, await answer.json()

        yield one


async def told(order: Any, user_id: UUID | None, number: int = 1) -> list[UUID]:
    """So many mails to somebody; their orders."""
    now, found = dt.datetime.now(dt.UTC), []
    for _ in range(number):
        fact = order(user_id=user_id)
        async with transaction("notifications"):
            planned = plan(fact, now, [Contact("x@example.org", user_id)], {Channel.EMAIL}, now)
            await queue.add(queue.Told(uuid4(), fact.type, fact.order_id, planned))
        found.append(fact.order_id)
    return found


async def test_staff_see_all_and_people_their_own(ask: Ask, order: Any) -> None:
    """Newest first, in pages, by what is asked for."""
    mine, others = await told(order, ANN, 3), await told(order, uuid4(), 2)
    _, everything = await ask("GET", "/notifications", "staff")
    _, first = await ask("GET", "/users/me/notifications", "customer", page_size="2")
    _, rest = await ask("GET", "/users/me/notifications", "customer", page_size="2", page_token=first["next_page_token"])
    _, one = await ask("GET", "/notifications", "admin", order_id=str(mine[1]), status="pending", channel="email")

    assert [item["order_id"] for item in everything["items"]] == [str(number) for number in reversed([*mine, *others])]
    assert [item["order_id"] for item in first["items"] + rest["items"]] == [str(number) for number in reversed(mine)]
    assert rest["next_page_token"] == ""
    assert [item["order_id"] for item in one["items"]] == [str(mine[1])]


async def test_only_who_may(ask: Ask) -> None:
    """No token, and a customer's where staff are asked for; the refusal is a document."""
    for method, path in (("GET", "/notifications"), ("POST", f"/notifications/{uuid4()}/redeliver")):
        assert [(await ask(method, path, role))[0] for role in ("", "customer")] == [401, 403]
    assert (await ask("GET", "/users/me/notifications"))[1]["error"] == "Unauthenticated"
    assert (await ask("GET", "/notifications", "customer"))[1] == {
        "error": "PermissionDenied",
        "message": "forbidden",
        "reason": "forbidden",
        "retry_after": None,
        "details": {},
    }


@pytest.mark.parametrize(
    "query", [{"status": "lost"}, {"channel": "x"}, {"order_id": "7"}, {"page_size": "x"}, {"page_size": "-1"}, {"page_token": "x"}]
)
async def test_wrong_questions_are_refused(ask: Ask, query: dict[str, str]) -> None:
    """By the name that REST has for them."""
    status, document = await ask("GET", "/notifications", "staff", **query)
    assert (status, document["error"], document["reason"]) == (400, "InvalidArgument", "invalid_parameter")


async def test_redelivering(ask: Ask, order: Any, woken: list[bool]) -> None:
    """It is due at once; what there is not, is not found."""
    await told(order, ANN)
    await fetch("notifications", "update notification set status = 'failed', next_attempt_at = null")
    [row] = await fetch("notifications", "select id from notification")

    assert await ask("POST", f"/notifications/{row['id']}/redeliver", "staff") == (200, {})
    assert woken == [True]
    assert len(await queue.due(Channel.EMAIL, 10)) == 1
    for unknown in (uuid4(), "7"):
        assert (await ask("POST", f"/notifications/{unknown}/redeliver", "staff"))[0] == 404
