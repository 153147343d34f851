"""The page that stops mails."""

from typing import Any
from uuid import UUID

import pytest

from soms.config import Settings
from soms.errors import NotFound, Unavailable
from soms.optout import PATH, OptOut, OptOuts

ADA = UUID("018f0000-0000-7000-8000-00000000ada0")


@pytest.fixture
def link(gateway_settings: Settings, services: Any) -> str:
    """The path of a link that stops Ada's mails; the gateway calls in its own name."""
    services.as_service = services
    return OptOuts(gateway_settings).link(OptOut(ADA, "email")).removeprefix("http://127.0.0.1:8080")


async def test_a_link_asks_once_more(client: Any, services: Any, link: str) -> None:
    """Programs that follow links change nothing; the page runs no script and sends nothing elsewhere."""
    answer = await client("GET", f"/{link}")

    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<form method=post><button>Stop mails" in answer.body.decode()
    assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert services.users.calls == []


@pytest.mark.parametrize("body", [b"", b"List-Unsubscribe=One-Click"])
async def test_an_answer_stops_mails(client: Any, services: Any, link: str, body: bytes) -> None:
    """By the button and by the mail program (RFC 8058), without signing in; again does no harm."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for _ in range(2):
        answer = await client("POST", f"/{link}", data=body, headers=form)
        assert (answer.status, "No more mails" in answer.body.decode()) == (200, True)
    assert [(method, asked.id, asked.channel) for method, asked, _ in services.users.calls] == [("stop_channel", str(ADA), "email")] * 2


async def test_other_links_lead_nowhere(client: Any, services: Any, link: str, gateway_settings: Settings) -> None:
    """Altered, made up, for a channel there is not, of somebody who is no more; and a service that is away is away."""
    token = link.removeprefix(PATH)
    pigeon = OptOuts(gateway_settings).link(OptOut(ADA, "pigeon")).removeprefix("http://127.0.0.1:8080")
    for wrong in (PATH + "x", PATH + token[:-1], PATH + "A" + token[1:], PATH + token + "A", PATH + "%ff", pigeon):
        for method in ("GET", "POST"):
            assert (await client(method, f"/{wrong}")).problem == (404, "not_found"), wrong
    assert services.users.calls == []
    for error, status in ((NotFound(), 404), (Unavailable(), 503)):
        services.users.answers["stop_channel"] = error
        assert (await client("POST", f"/{link}")).status == status
