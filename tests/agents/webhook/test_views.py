"""Setting up webhooks over the notification service's HTTP port."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from soms.agents.process import Vitals, listening
from soms.agents.webhook_views import routes
from soms.config import Settings
from soms.tokens import Signer, Verifier

pytestmark = pytest.mark.usefixtures("database")
HOOK = {"url": "https://8.8.8.8/hook", "event_types": ["*"]}
Ask = Callable[..., Awaitable[tuple[int, Any]]]


@pytest.fixture
async def ask(settings: Settings) -> AsyncIterator[Ask]:
    """A question of somebody with a role, staff unless said, as a function of method, path and body; gives status and document."""
    signer = Signer(settings)
    async with (
        listening("127.0.0.1", Vitals(), routes=routes(Verifier(settings), private=False)) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session,
    ):

        async def asked(method: str, path: str, body: Any = None, role: str = "staff") -> tuple[int, Any]:
            token = signer.access_token(uuid4(), {role}, "ann@example.org")
            async with session.request(method, path, json=body, headers={"Authorization": f"Bearer {token}"}) as answer:
                return answer.status, await answer.json() if answer.status != 204 else None

        yield asked


async def added(ask: Ask) -> Any:
    """A webhook."""
    return (await ask("POST", "/webhooks", HOOK))[1]


async def test_a_life(ask: Ask) -> None:
    """A webhook is added, listed, shown, changed, given a new secret and removed."""
    made = await added(ask)
    path = f"/webhooks/{made['id']}"
    plain = {name: value for name, value in made.items() if name != "secret"}

    assert await ask("GET", "/webhooks?page_size=1") == (200, {"items": [plain], "next_page_token": ""})
    assert await ask("GET", path) == (200, plain)
    status, changed = await ask("PATCH", f"{path}?if_version=1", {"active": False})
    assert (status, changed["active"], changed["version"]) == (200, False, 2)
    status, rotated = await ask("POST", f"{path}/rotate-secret")
    assert (status, rotated["secret"] != made["secret"]) == (200, True)
    assert await ask("DELETE", f"{path}?if_version=3") == (204, None)
    assert (await ask("GET", path))[0] == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (HOOK | {"url": "https://localhost/"}, "url"),
        (HOOK | {"url": "http://8.8.8.8/"}, "url"),
        (HOOK | {"url": "nonsense"}, "url"),
        (HOOK | {"event_types": ["soms.order.eaten.v1"]}, "event_types.0"),
        ({"url": HOOK["url"]}, "event_types"),
        ({"event_types": ["*"]}, "url"),
        ([], ""),
    ],
)
async def test_wrong_ones_are_refused(ask: Ask, body: Any, field: str) -> None:
    """What can be no webhook is refused by the name of what is wrong."""
    status, document = await ask("POST", "/webhooks", body)

    assert (status, document["reason"], document["details"]["errors"][0]["field"]) == (400, "validation_failed", field)


async def test_changes_are_checked_too(ask: Ask) -> None:
    """A webhook cannot be led to a private address after it was added."""
    made = await added(ask)
    status, document = await ask("PATCH", f"/webhooks/{made['id']}", {"url": "https://10.0.0.1/"})

    assert (status, document["details"]["errors"][0]["code"]) == (400, "not_public")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("POST", ""), ("GET", "/{id}"), ("PATCH", "/{id}"), ("DELETE", "/{id}"), ("POST", "/{id}/rotate-secret")],
)
async def test_staff_alone(ask: Ask, method: str, path: str) -> None:
    """Customers may do nothing here."""
    made = await added(ask)

    status, document = await ask(method, f"/webhooks{path.format(**made)}", HOOK, role="customer")
    assert (status, document["error"]) == (403, "PermissionDenied")


async def test_odd_questions(ask: Ask) -> None:
    """What names nothing and what is no number is refused for what it is."""
    made = await added(ask)

    assert (await ask("GET", "/webhooks/nonsense"))[1]["error"] == "NotFound"
    assert (await ask("GET", "/webhooks?page_size=x"))[1]["reason"] == "invalid_parameter"
    assert (await ask("DELETE", f"/webhooks/{made['id']}?if_version=9"))[1]["reason"] == "stale_version"
    assert (await ask("POST", "/webhooks", HOOK))[1]["reason"] == "url_taken"
