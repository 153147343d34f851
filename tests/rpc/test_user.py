"""The user service over the wire: what it lets through, converts, and refuses."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from soms import tokens
from soms.config import Settings
from soms.errors import SomsError
from soms.models import hashing
from soms.models.database import fetch
from soms.rpc.access import rule_of
from soms.rpc.channel import Channel
from soms.rpc.errors import from_wire
from soms.rpc.gen.soms import v1
from soms.rpc.server import serving
from soms.rpc.user import UserServicer

PASSWORD = "correct horse"
FOR_SERVICES = dict.fromkeys(("get_contact", "list_contacts", "stop_channel", "issue_token"), "service")
NOT_FOR_CUSTOMERS = {"list_users": "staff", "set_roles": "admin"} | FOR_SERVICES
FOR_ANYONE = {"register_user", "login", "refresh_token", "logout", "request_password_reset", "confirm_password_reset", "get_key_set"}


class Users:
    """A client of the service."""

    def __init__(self, stub: v1.UserServiceStub, settings: Settings) -> None:
        self._stub, self._settings = stub, settings

    async def call(self, method: str, message: Any, token: str = "") -> Any:
        """The answer, or the exception of SOMS."""
        metadata = {"authorization": f"Bearer {token}"} if token else {}
        try:
            return await getattr(self._stub, method)(message, metadata=metadata, timeout=8)
        except Exception as error:
            raise from_wire(error) from error

    async def refusal(self, method: str, message: Any, token: str = "") -> SomsError:
        """The exception of SOMS."""
        with pytest.raises(SomsError) as caught:
            await self.call(method, message, token)
        return caught.value

    async def member(self, name: str, *roles: str) -> tuple[str, str]:
        """Id and access token of somebody with these roles."""
        for role in roles or ("customer",):
            message = v1.IssueTokenRequest(email=f"{name}@example.org", role=role, password=PASSWORD, name=name.title())
            issued = await self.call("issue_token", message, self.service())
        return issued.user.id, issued.access_token

    def service(self) -> str:
        """A token of a service."""
        return tokens.service_token(self._settings, "order")


@pytest.fixture
async def users(database: None, settings: Settings) -> AsyncIterator[Users]:
    """The service, called through a plain channel."""
    async with (
        serving(UserServicer(settings), settings) as server,
        Channel("127.0.0.1", server.port) as channel,
    ):
        yield Users(v1.UserServiceStub(channel), settings)


def fields(error: SomsError) -> set[str]:
    """Which members of the request were wrong."""
    assert error.reason == "validation_failed"
    return {item["field"] for item in error.details["errors"]}


async def test_a_session_from_beginning_to_end(users: Users, settings: Settings) -> None:
    """Register, sign in, be known by the token, go on, sign out."""
    registered = await users.call("register_user", v1.RegisterUserRequest("Ann@Example.org", PASSWORD, "Ann", "+442079460000"))
    session = (await users.call("login", v1.LoginRequest("ANN@example.org", PASSWORD, "192.0.2.7"))).tokens
    who = tokens.Verifier(settings).verify(session.access_token)
    profile = (await users.call("get_user", v1.GetUserRequest(), session.access_token)).user
    following = (await users.call("refresh_token", v1.RefreshTokenRequest(session.refresh_token))).tokens
    again = (await users.call("refresh_token", v1.RefreshTokenRequest(session.refresh_token))).tokens
    await users.call("logout", v1.LogoutRequest(session.refresh_token))
    refused = await users.refusal("refresh_token", v1.RefreshTokenRequest(following.refresh_token))

    assert registered.user == profile
    assert (profile.email, profile.phone, profile.roles, profile.version) == ("ann@example.org", "+442079460000", ["customer"], 1)
    assert (str(who.user_id), who.email, session.expires_in) == (profile.id, profile.email, 600)
    assert following.refresh_token == again.refresh_token != session.refresh_token
    assert (type(refused).__name__, refused.reason) == ("Unauthenticated", "invalid_token")


def test_every_method_says_who_may() -> None:
    """Anyone may sign in, customers keep to themselves, the rest is for staff, admins or services."""
    found = {}
    for method in (name for name, value in vars(v1.UserServiceBase).items() if asyncio.iscoroutinefunction(value) and name[0] != "_"):
        rule = rule_of(getattr(UserServicer, method))
        found[method] = (
            "anyone" if rule.anyone else "service" if rule.services else min(rule.roles, key=["customer", "staff", "admin"].index)
        )

    assert len(found) == 23
    assert found == {name: "anyone" if name in FOR_ANYONE else NOT_FOR_CUSTOMERS.get(name, "customer") for name in found}


async def test_registration_is_checked_before_it_costs(users: Users, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is wrong is told at once by the names of rest.md, and nothing is hashed."""

    async def never(*_: object) -> str:
        raise AssertionError

    monkeypatch.setattr(hashing, "hashed", never)
    monkeypatch.setattr(hashing, "verified", never)
    wrong = await users.refusal("register_user", v1.RegisterUserRequest("ann", "short", " ", "020 7946"))
    long = await users.refusal("register_user", v1.RegisterUserRequest("ann@example.org", "é" * 129, "Ann"))
    huge = await users.refusal("login", v1.LoginRequest("ann@example.org", "x" * 500_000, "192.0.2.7"))
    reset = await users.refusal("confirm_password_reset", v1.ConfirmPasswordResetRequest("x", "short"))

    assert fields(wrong) == {"email", "password", "name", "phone"}
    assert fields(long) == fields(huge) == fields(reset) == {"password"}


async def test_refusals_of_signing_in(users: Users) -> None:
    """A taken e-mail, a wrong password, too many of them, a bad token: each by its reason, with the time to wait."""
    await users.member("ann")
    taken = await users.refusal("register_user", v1.RegisterUserRequest("ANN@example.org", PASSWORD, "Ann"))
    wrong = [await users.refusal("login", v1.LoginRequest("ann@example.org", "wrong", "192.0.2.7")) for _ in range(10)]
    full = await users.refusal("login", v1.LoginRequest("ann@example.org", PASSWORD, "198.51.100.1"))
    reset = await users.refusal("confirm_password_reset", v1.ConfirmPasswordResetRequest("x", PASSWORD))
    await users.call("request_password_reset", v1.RequestPasswordResetRequest("nobody@example.org"))

    assert (type(taken).__name__, taken.reason) == ("AlreadyExists", "email_taken")
    assert {(type(error).__name__, error.reason) for error in wrong} == {("Unauthenticated", "invalid_credentials")}
    assert (type(full).__name__, full.reason, (full.retry_after or 0) > 800) == ("ResourceExhausted", "rate_limited", True)
    assert (type(reset).__name__, reset.reason) == ("Unauthenticated", "invalid_token")


async def test_customers_see_themselves_alone(users: Users) -> None:
    """Somebody else's profile is as good as none, to the word; staff see all."""
    (ann, token), (bob, _), (_, staff) = await users.member("ann"), await users.member("bob"), await users.member("sue", "staff")
    refusals = [await users.refusal("get_user", v1.GetUserRequest(other), token) for other in (bob, str(uuid4()), "me", "0")]
    listed = (await users.call("list_users", v1.ListUsersRequest(query="EXAMPLE b"), staff)).users

    assert {(type(error).__name__, error.reason, error.message) for error in refusals} == {
        ("NotFound", "not_found", "there is no such person or address")
    }
    assert (await users.call("get_user", v1.GetUserRequest(bob), staff)).user.name == "Bob"
    assert (await users.call("get_user", v1.GetUserRequest(ann), token)).user.name == "Ann"
    assert [user.id for user in listed] == [bob]
    assert fields(await users.refusal("list_users", v1.ListUsersRequest(query="\0"), staff)) == {"q"}


async def test_profile_changes(users: Users) -> None:
    """Name and telephone number change by version; bad ones are refused by name; roles are an admin's to give."""
    ann, token = await users.member("ann")
    changed = (await users.call("update_user", v1.UpdateUserRequest(1, name="Ann Lee", phone="+442079460000"), token)).user
    stale = await users.refusal("update_user", v1.UpdateUserRequest(1, name="Ann"), token)
    wrong = await users.refusal("update_user", v1.UpdateUserRequest(name="a\nb", phone="1"), token)
    _, admin = await users.member("root", "admin")
    raised = (await users.call("set_roles", v1.SetRolesRequest(ann, ["staff"]), admin)).user
    unknown = await users.refusal("set_roles", v1.SetRolesRequest(ann, ["root"]), admin)
    await users.call("anonymise_user", v1.AnonymiseUserRequest(raised.version), token)

    assert (changed.name, changed.phone, changed.version) == ("Ann Lee", "+442079460000", 2)
    assert (type(stale).__name__, stale.reason) == ("Aborted", "stale_version")
    assert fields(wrong) == {"name", "phone"}
    assert fields(unknown) == {"roles"}
    assert raised.roles == ["customer", "staff"]
    assert (await users.refusal("get_user", v1.GetUserRequest(), token)).reason == "not_found"


async def test_address_book(users: Users) -> None:
    """Addresses are added, changed, listed in pages and removed; bad members are refused by name."""
    _, token = await users.member("ann")
    home = v1.Address(id="x", name="Ann", line1="1 High Street", city="Leeds", country="GB", version=9)
    first = (await users.call("create_address", v1.CreateAddressRequest(home), token)).address
    await users.call("create_address", v1.CreateAddressRequest(home), token)
    page = await users.call("list_addresses", v1.ListAddressesRequest(1), token)
    rest = await users.call("list_addresses", v1.ListAddressesRequest(1, page.next_page_token), token)
    changed = (await users.call("update_address", v1.UpdateAddressRequest(first.id, 1, city="York"), token)).address
    wrong = await users.refusal("create_address", v1.CreateAddressRequest(v1.Address(country="Britain")), token)
    also = await users.refusal("update_address", v1.UpdateAddressRequest(first.id, line1="", is_default=True), token)
    await users.call("delete_address", v1.DeleteAddressRequest(first.id, 2), token)

    assert (first.is_default, first.version, changed.city, changed.line1, changed.version) == (True, 1, "York", "1 High Street", 2)
    assert (rest.addresses, rest.next_page_token, len(page.addresses)) == ([first], "", 1)
    assert (fields(wrong), fields(also)) == ({"name", "line1", "city", "country"}, {"line1"})
    assert (await users.refusal("get_address", v1.GetAddressRequest(first.id), token)).reason == "not_found"


async def test_preferences_reach_those_who_write(users: Users) -> None:
    """What somebody says is what a service that writes to them reads; bad members are refused by name."""
    ann, token = await users.member("ann")
    before = (await users.call("get_preferences", v1.GetPreferencesRequest(), token)).preferences
    quiet, email = v1.QuietHours("22:00", "07:00"), v1.ChannelPreferences(orders=True, news=True)
    said = v1.Preferences(email=email, quiet_hours=quiet, time_zone="Europe/London", locale="en-GB")
    after = (await users.call("set_preferences", v1.SetPreferencesRequest(said, if_version=1), token)).preferences
    contact = await users.call("get_contact", v1.GetContactRequest(ann), users.service())
    bad = v1.Preferences(quiet_hours=v1.QuietHours("24:00", "7"), time_zone="Mars/Base", locale="?")
    wrong = await users.refusal("set_preferences", v1.SetPreferencesRequest(bad), token)

    assert (before.email, before.sms) == (v1.ChannelPreferences(orders=True), v1.ChannelPreferences())
    assert (before.quiet_hours, before.time_zone, before.locale, before.version) == (None, "UTC", "en-GB", 1)
    assert (after.email, after.sms, after.quiet_hours, after.version) == (email, v1.ChannelPreferences(), quiet, 2)
    assert (contact.user.email, contact.preferences) == ("ann@example.org", after)
    assert fields(wrong) == {"quiet_hours.from", "quiet_hours.to", "time_zone", "locale"}


async def test_key_set_is_public(users: Users) -> None:
    """The keys that verify access tokens are Ed25519, without their private part."""
    (key,) = json.loads((await users.call("get_key_set", v1.GetKeySetRequest())).jwks)["keys"]

    assert (key["kty"], key["crv"], "d" in key) == ("OKP", "Ed25519", False)


async def test_lost_connections_are_an_outage_and_no_more(users: Users, server: Any) -> None:
    """While the database drops its connections calls are answered or told to come again; then all is well."""
    _, token = await users.member("ann")
    asked = {
        "login": lambda: v1.LoginRequest("ann@example.org", PASSWORD, "192.0.2.7"),
        "get_user": v1.GetUserRequest,
        "update_user": lambda: v1.UpdateUserRequest(name=f"Ann {uuid4()}"),
        "list_addresses": v1.ListAddressesRequest,
        "refresh_token": lambda: v1.RefreshTokenRequest("x" * 64),
    }

    async def outcome(method: str) -> str:
        try:
            await users.call(method, asked[method](), token)
        except SomsError as error:
            return error.reason
        return "answered"

    owner = await asyncpg.connect(server.dsn)
    drop = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'soms_users'"
    found = Counter[str]()
    for _ in range(30):
        calls = [asyncio.create_task(outcome(method)) for method in asked]
        await owner.execute(drop)
        found.update(await asyncio.gather(*calls))
    await owner.close()

    assert set(found) <= {"answered", "unavailable", "invalid_token"}
    assert min(found["answered"], found["unavailable"]) > 0
    assert [await outcome(method) for method in asked] == [*["answered"] * 4, "invalid_token"]
    assert await fetch("users", "select from failed_logins") == []
