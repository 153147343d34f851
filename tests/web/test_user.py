"""Accounts over REST: signing in, profile, roles, addresses, preferences."""

from typing import Any

import pytest

from soms.errors import AlreadyExists, Unauthenticated
from soms.rpc.gen.soms import v1

ADA = "018f0000-0000-7000-8000-00000000ada0"
ID = "018f0000-0000-7000-8000-000000000001"
NEW = {"email": "Ada@Example.COM", "password": "correct horse battery", "name": " Ada "}
PLACE = {"name": "Ada", "line1": "12 St James's Square", "city": "London", "country": "GB"}
WISHES = {"email": {"orders": True, "news": False}, "sms": {"orders": False, "news": True}, "time_zone": "Europe/London", "locale": "en-GB"}


async def test_registering(client: Any, services: Any) -> None:
    """An account is made, with the e-mail in canonical form; the answer has no password."""
    reply = await client("POST", "/auth/register", json=NEW)

    assert reply.status == 201
    assert list(reply.json) == ["id", "email", "name", "phone", "roles", "version", "created_at"]
    assert reply.headers["Location"] == f"/api/v1/users/{ADA}"
    assert services.users.asked == v1.RegisterUserRequest(email="ada@example.com", password=NEW["password"], name="Ada")


async def test_an_email_that_is_taken(client: Any, services: Any) -> None:
    """409 says so."""
    services.users.answers["register_user"] = AlreadyExists(reason="email_taken")

    assert (await client("POST", "/auth/register", json=NEW)).problem == (409, "email_taken")


@pytest.mark.parametrize(
    "wrong",
    [
        {"email": "ada"},
        {"email": "Ada <ada@example.com>"},
        {"email": "ada@example.com\r\nBcc: eve@example.com"},
        {"email": f"{'a' * 250}@example.com"},
        {"password": "short"},
        {"password": "x" * 257},
        {"password": "ä" * 129},
        {"name": ""},
        {"name": "   "},
        {"name": "Ada\r\nBcc: eve@example.com"},
        {"name": "x" * 201},
        {"phone": "0207"},
        {"phone": "+44 20 7946 0000"},
        {"role": "admin"},
        {"roles": ["admin"]},
    ],
    ids=str,
)
async def test_bad_accounts_are_refused(client: Any, services: Any, wrong: dict[str, Any]) -> None:
    """422 names the field and does not repeat what was sent."""
    reply = await client("POST", "/auth/register", json=NEW | wrong)

    assert reply.problem == (422, "validation_failed")
    assert [error["field"] for error in reply.json["errors"]] == list(wrong)
    assert "correct horse" not in reply.body.decode()
    assert services.users.calls == []


async def test_the_first_admin_can_sign_in(client: Any, services: Any) -> None:
    """A host that never leaves the machine is good enough for an e-mail."""
    reply = await client("POST", "/auth/login", json={"email": "admin@soms.localhost", "password": "x"})

    assert reply.json == {"access_token": "a.b.c", "token_type": "Bearer", "expires_in": 600, "refresh_token": "r"}
    assert services.users.asked.email == "admin@soms.localhost"


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("login", {"email": "ada@example.com", "password": "wrong"}, "invalid_credentials"),
        ("refresh", {"refresh_token": "used"}, "invalid_token"),
        ("password-reset/confirm", {"token": "used", "password": "correct horse"}, "invalid_token"),
    ],
)
async def test_wrong_credentials(client: Any, services: Any, path: str, body: Any, reason: str) -> None:
    """401 with a word for what kind of credential it was."""
    services.users.answers = dict.fromkeys(services.users.answers, Unauthenticated("this account is locked", reason=reason))
    reply = await client("POST", f"/auth/{path}", json=body)

    assert reply.problem == (401, reason)
    assert b"locked" not in reply.body


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("logout", {"refresh_token": "r"}, 204),
        ("password-reset", {"email": "ada@example.com"}, 202),
        ("password-reset/confirm", {"token": "t", "password": "correct horse"}, 204),
    ],
)
async def test_some_answers_are_empty(client: Any, path: str, body: Any, status: int) -> None:
    """There is nothing to tell, not even a media type."""
    reply = await client("POST", f"/auth/{path}", json=body)

    assert (reply.status, reply.body) == (status, b"")
    assert "Content-Type" not in reply.headers


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({}, v1.UpdateUserRequest()),
        ({"name": "Ada King"}, v1.UpdateUserRequest(name="Ada King")),
        ({"phone": None}, v1.UpdateUserRequest(phone="")),
        ({"phone": "+442079460000"}, v1.UpdateUserRequest(phone="+442079460000")),
    ],
    ids=str,
)
async def test_profiles_are_merged(client: Any, token: Any, services: Any, changes: Any, sent: Any) -> None:
    """What is absent stays, null clears."""
    assert (await client("PATCH", "/users/me", token=token(), json=changes)).status == 200
    assert services.users.asked == sent


@pytest.mark.parametrize("changes", [{"name": None}, {"email": "x@example.com"}, {"roles": ["admin"]}, {"version": 9}, {"id": ID}], ids=str)
async def test_some_members_cannot_be_changed(client: Any, token: Any, changes: Any) -> None:
    """Names are never null; e-mail, roles, version and id are not for their owner to set."""
    assert (await client("PATCH", "/users/me", token=token(), json=changes)).problem == (422, "validation_failed")


async def test_roles_always_include_customer(client: Any, token: Any, services: Any) -> None:
    """Nobody stops being a customer."""
    await client("PUT", f"/users/{ID}/roles", token=token("admin"), json={"roles": ["staff", "staff"]})
    unknown = await client("PUT", f"/users/{ID}/roles", token=token("admin"), json={"roles": ["root"]})

    assert services.users.asked.roles == ["customer", "staff"]
    assert unknown.problem == (422, "validation_failed")


async def test_adding_an_address(client: Any, token: Any, services: Any) -> None:
    """What is left out or null is empty."""
    reply = await client("POST", "/users/me/addresses", token=token(), json=PLACE | {"line2": None})

    assert reply.status == 201
    assert reply.headers["Location"] == f"/api/v1/users/me/addresses/{ID}"
    assert list(reply.json) == "id name line1 line2 city region postal_code country phone is_default".split()  # noqa: SIM905 - as rest.md says it
    assert services.users.asked.address == v1.Address(**PLACE)


async def test_changing_an_address(client: Any, token: Any, services: Any) -> None:
    """What is absent stays, null empties what may be empty."""
    await client("PATCH", f"/users/me/addresses/{ID}", token=token(), json={"line2": None, "is_default": True})
    never = await client("PATCH", f"/users/me/addresses/{ID}", token=token(), json={"line1": None})

    assert services.users.asked == v1.UpdateAddressRequest(id=ID, line2="", is_default=True)
    assert never.problem == (422, "validation_failed")


async def test_preferences_are_set_as_a_whole(client: Any, token: Any, services: Any) -> None:
    """Quiet hours may be null or left out; nothing else may."""
    quiet = {"quiet_hours": {"from": "22:00", "to": "07:00"}}
    reply = await client("PUT", "/users/me/preferences", token=token(), json=WISHES | quiet)
    with_quiet = services.users.asked.preferences
    await client("PUT", "/users/me/preferences", token=token(), json=WISHES | {"quiet_hours": None})

    assert reply.json["quiet_hours"] == quiet["quiet_hours"]
    assert "version" not in reply.json
    assert with_quiet.quiet_hours == v1.QuietHours(from_="22:00", to="07:00")
    assert services.users.asked.preferences.quiet_hours is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"time_zone": "Mars/Olympus"},
        {"locale": "?"},
        {"email": {"orders": True}},
        {"email": {"orders": 1, "news": False}},
        {"email": {"orders": True, "news": False, "spam": True}},
        {"quiet_hours": {"from": "24:00", "to": "07:00"}},
        {"quiet_hours": {"from": "22:00"}},
        {"quiet_hours": {"from": "22:00", "to": "07:00", "days": []}},
    ],
    ids=str,
)
async def test_bad_preferences_are_refused(client: Any, token: Any, wrong: Any) -> None:
    """Zones are those of IANA, hours those of a clock, switches are on or off."""
    assert (await client("PUT", "/users/me/preferences", token=token(), json=WISHES | wrong)).problem == (422, "validation_failed")
