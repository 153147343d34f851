"""How services learn whom to write to, over the wire."""

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from soms import tokens
from soms.config import Settings
from soms.models import credential, preferences, profile, user
from soms.models.preferences import Wishes
from soms.models.profile import Registration
from soms.rpc.channel import Channel
from soms.rpc.gen.soms import v1
from soms.rpc.server import serving
from soms.rpc.user import UserServicer

Ask = v1.ListContactsRequest


@pytest.fixture
async def users(database: None, settings: Settings) -> AsyncIterator[v1.UserServiceStub]:
    """The service, asked as another service does."""
    async with serving(UserServicer(settings), settings) as server, Channel("127.0.0.1", server.port) as channel:
        token = tokens.service_token(settings, "notification")
        yield v1.UserServiceStub(channel, metadata={"authorization": f"Bearer {token}"})


async def person(name: str, *roles: str) -> profile.User:
    """Somebody with an account."""
    new = await credential.register(Registration(email=f"{name}@example.org", name=name.title()), None)
    return await profile.set_roles(new.id, roles)


async def test_the_team_is_found_by_role(users: v1.UserServiceStub) -> None:
    """Whoever holds one of the roles, first who joined first, with what they want; neither customers nor who is forgotten."""
    bob, _, cid, dee = [await person(name, *roles) for name, *roles in (["bob", "staff"], ["ann"], ["cid", "admin"], ["dee", "staff"])]
    await preferences.say(cid.id, Wishes(time_zone="Europe/Vienna"))
    await user.anonymise(dee.id)
    both = await users.list_contacts(Ask(["staff", "admin"]), timeout=5)
    staff = await users.list_contacts(Ask(["staff"]), timeout=5)

    told = [(one.user.email, one.preferences.time_zone) for one in both.contacts if one.user and one.preferences]
    assert told == [("bob@example.org", "UTC"), ("cid@example.org", "Europe/Vienna")]
    assert [one.user and one.user.id for one in staff.contacts] == [str(bob.id)]
    assert (await users.list_contacts(Ask(["root"]), timeout=5)).contacts == []


async def test_people_are_found_by_id(users: v1.UserServiceStub) -> None:
    """Each of those named once, with what they want, whatever their roles; unknown and forgotten ones and what is no id are left out."""
    ann, bob, cid, dee = [await person(name, *roles) for name, *roles in (["ann"], ["bob", "staff"], ["cid"], ["dee"])]
    await preferences.say(bob.id, Wishes(time_zone="Europe/Vienna"))
    await user.anonymise(cid.id)
    asked = [str(one) for one in (bob.id, ann.id, cid.id, uuid4(), "x", bob.id)]
    found = (await users.list_contacts(Ask(["admin"], asked), timeout=5)).contacts

    told = [(one.user.id, one.preferences.time_zone) for one in found if one.user and one.preferences]
    assert told == [(str(ann.id), "UTC"), (str(bob.id), "Europe/Vienna")]
    assert (await users.list_contacts(Ask(user_ids=["x"]), timeout=5)).contacts == []
    with pytest.raises(GRPCError) as refused:
        await users.list_contacts(Ask(user_ids=[str(dee.id)] * 501), timeout=5)
    assert refused.value.status is Status.INVALID_ARGUMENT


async def test_a_channel_is_stopped(users: v1.UserServiceStub) -> None:
    """Nothing more comes by it; the other channel and all else stay as they were; who is no more is not found."""
    ann = await person("ann")
    await preferences.say(ann.id, Wishes.model_validate({"sms": {"orders": True, "news": True}, "locale": "de"}))
    await users.stop_channel(v1.StopChannelRequest(str(ann.id), "email"), timeout=5)
    wishes = (await preferences.of(ann.id)).wishes

    assert (wishes.email.orders, wishes.email.news, wishes.sms.orders, wishes.sms.news, wishes.locale) == (False, False, True, True, "de")
    for person_id, channel in ((ann.id, "pigeon"), (uuid4(), "email")):
        with pytest.raises(GRPCError) as refused:
            await users.stop_channel(v1.StopChannelRequest(str(person_id), channel), timeout=5)
        assert refused.value.status is Status.NOT_FOUND
