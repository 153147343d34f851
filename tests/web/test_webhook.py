"""Webhooks over REST."""

from typing import Any

import pytest

from soms.errors import AlreadyExists, InvalidArgument
from soms.subscription import HEARD
from tests.web.samples import ID

NEW = {"url": "https://example.com/", "event_types": ["*"]}
MEMBERS = {"id", "url", "event_types", "active", "paused_reason", "created_at"}


@pytest.fixture
def staff(token: Any) -> str:
    """A token of staff."""
    made: str = token("staff")
    return made


async def test_adding_one(client: Any, agents: Any, staff: str) -> None:
    """A new webhook has a place, a version and, this once, a secret."""
    reply = await client("POST", "/webhooks", token=staff, json=NEW)

    assert (reply.status, reply.headers["Location"], reply.headers["ETag"]) == (201, f"/api/v1/webhooks/{ID}", '"6"')
    assert (set(reply.json), reply.json["created_at"]) == (MEMBERS | {"secret"}, "2026-11-22T10:00:00.000000Z")
    assert agents.calls == [("NOTIFICATION-SERVICE", "POST", "/webhooks", NEW, {})]


async def test_looking_at_them(client: Any, agents: Any, staff: str) -> None:
    """Neither the list nor the single one shows a secret."""
    listed = await client("GET", "/webhooks?limit=5", token=staff)
    shown = await client("GET", f"/webhooks/{ID}", token=staff)

    assert [set(item) for item in listed.json["items"]] == [MEMBERS]
    assert (set(shown.json), shown.headers["ETag"]) == (MEMBERS, '"6"')
    assert agents.calls[0][4] == {"page_size": 5, "page_token": ""}


async def test_changing_one(client: Any, agents: Any, staff: str) -> None:
    """What is said is what changes, if the version is still the one that was seen."""
    changed = await client("PATCH", f"/webhooks/{ID}", token=staff, json={"active": True}, headers={"If-Match": '"6"'})
    gone = await client("DELETE", f"/webhooks/{ID}", token=staff)
    rotated = await client("POST", f"/webhooks/{ID}/rotate-secret", token=staff)

    assert (changed.status, set(changed.json), gone.status, gone.body) == (200, MEMBERS, 204, b"")
    assert (rotated.status, set(rotated.json)) == (200, MEMBERS | {"secret"})
    assert [call[3:] for call in agents.calls] == [
        ({"active": True}, {"if_version": 6}),
        (None, {"if_version": None}),
        (None, {"if_version": None}),
    ]


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (NEW | {"event_types": ["soms.order.eaten.v1"]}, ("event_types[0]", "invalid")),
        (NEW | {"event_types": ["soms.user.password_reset.v1"]}, ("event_types[0]", "invalid")),
        (NEW | {"event_types": []}, ("event_types", "too_short")),
        (NEW | {"url": "ftp://example.com/"}, ("url", "string_pattern_mismatch")),
        (NEW | {"url": "https://ann:secret@example.com/"}, ("url", "string_pattern_mismatch")),
        (NEW | {"url": "https://example.com/" + "x" * 2000}, ("url", "string_too_long")),
        (NEW | {"url": "https://example.com:99999/"}, ("url", "invalid")),
        (NEW | {"active": False}, ("active", "unknown_field")),
        (NEW | {"secret": "mine"}, ("secret", "unknown_field")),
        ({"url": NEW["url"]}, ("event_types", "missing")),
    ],
)
async def test_what_cannot_be_meant(client: Any, agents: Any, staff: str, body: Any, named: tuple[str, str]) -> None:
    """Addresses and types of events that cannot be are refused by name, before anybody is asked."""
    reply = await client("POST", "/webhooks", token=staff, json=body)

    assert reply.problem == (422, "validation_failed")
    assert (reply.json["errors"][0]["field"], reply.json["errors"][0]["code"]) == named
    assert agents.calls == []


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (AlreadyExists(reason="url_taken"), (409, "url_taken")),
        (InvalidArgument.field("url", "not_public", "must lead to the public Internet"), (422, "validation_failed")),
    ],
)
async def test_what_the_agent_refuses(client: Any, agents: Any, staff: str, error: Exception, problem: Any) -> None:
    """A refusal comes through as what it is."""
    agents.answers["POST", "/webhooks"] = error

    assert (await client("POST", "/webhooks", token=staff, json=NEW)).problem == problem


async def test_staff_alone(client: Any, token: Any, agents: Any) -> None:
    """Customers have no webhooks."""
    assert (await client("GET", "/webhooks", token=token())).problem == (403, "forbidden")
    assert (await client("POST", "/webhooks", json=NEW)).problem == (401, "unauthenticated")
    assert agents.calls == []


async def test_events_are_described(client: Any) -> None:
    """The document names the types of events that can be asked for."""
    schemas = (await client("GET", "//openapi.json")).json["components"]["schemas"]

    assert schemas["NewWebhook"]["properties"]["event_types"]["items"]["enum"] == ["*", *HEARD]
