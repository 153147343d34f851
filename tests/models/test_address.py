"""Address books and preferences, on a real database."""

import asyncio
from collections import Counter
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from soms.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from soms.models import address, credential, preferences
from soms.models.address import Address
from soms.models.database import fetch
from soms.models.preferences import Channel, Preferred, QuietHours, Wishes
from soms.models.profile import Registration
from soms.values import PostalAddress

HOME = PostalAddress(name="Ann", line1="1 High Street", city="Leeds", country="GB")


@pytest.fixture
async def ann(database: None) -> UUID:
    """Somebody with an account."""
    return (await credential.register(Registration(email="ann@example.org", name="Ann"), None)).id


async def added(ann: UUID, *cities: str) -> list[Address]:
    """Addresses, one after the other."""
    return [await address.add(ann, HOME.model_copy(update={"city": city}), is_default=False) for city in cities]


async def book(ann: UUID) -> list[tuple[str, bool, int]]:
    """City, default and version of every address, newest first."""
    return [(x.city, x.is_default, x.version) for x in (await address.book(ann, 100, ""))[0]]


async def test_first_address_is_the_default(ann: UUID) -> None:
    """The first one is the default whatever it says, later ones only if they say so, and then the former is not any more."""
    await added(ann, "Leeds", "York")
    await address.add(ann, HOME.model_copy(update={"city": "Hull"}), is_default=True)

    assert await book(ann) == [("Hull", True, 1), ("York", False, 1), ("Leeds", False, 2)]


async def test_one_default_whatever_comes_together(ann: UUID) -> None:
    """Addresses added in parallel, each as the default: one is."""
    await asyncio.gather(*(address.add(ann, HOME, is_default=True) for _ in range(12)))

    assert Counter(is_default for _, is_default, _ in await book(ann)) == {True: 1, False: 11}


async def test_default_moves(ann: UUID) -> None:
    """Making another one the default unsets the former; the default cannot just stop being it."""
    leeds, york = await added(ann, "Leeds", "York")
    await address.change(ann, york.id, {"is_default": True})
    with pytest.raises(InvalidArgument):
        await address.change(ann, york.id, {"is_default": False})
    await address.change(ann, leeds.id, {"is_default": False})

    assert await book(ann) == [("York", True, 2), ("Leeds", False, 2)]


async def test_newest_inherits_the_default(ann: UUID) -> None:
    """When the default goes, the newest one left takes its place; the last one leaves an empty book."""
    leeds, york, hull = await added(ann, "Leeds", "York", "Hull")
    await address.remove(ann, leeds.id)
    assert await book(ann) == [("Hull", True, 2), ("York", False, 1)]
    await address.remove(ann, york.id)
    await address.remove(ann, hull.id)

    assert await book(ann) == []


async def test_change_keeps_what_is_absent(ann: UUID) -> None:
    """Members change one by one, within their bounds; nothing new is no new version."""
    (leeds,) = await added(ann, "Leeds")
    changed = await address.change(ann, leeds.id, {"line2": "Flat 2"}, if_version=1)
    same = await address.change(ann, leeds.id, {"line2": "Flat 2"})

    assert (changed.line1, changed.line2, changed.version, same.version) == ("1 High Street", "Flat 2", 2, 2)
    with pytest.raises(ValidationError):
        await address.change(ann, leeds.id, {"country": "Britain"})
    with pytest.raises(Aborted):
        await address.change(ann, leeds.id, {"line2": ""}, if_version=1)
    with pytest.raises(Aborted):
        await address.remove(ann, leeds.id, if_version=1)


async def test_foreign_addresses_are_unknown(ann: UUID) -> None:
    """Somebody else's address is as good as none."""
    bob = (await credential.register(Registration(email="bob@example.org", name="Bob"), None)).id
    (leeds,) = await added(ann, "Leeds")
    for address_id in (leeds.id, uuid4()):
        for asked in (address.entry(bob, address_id), address.change(bob, address_id, {}), address.remove(bob, address_id)):
            with pytest.raises(NotFound) as caught:
                await asked
            assert caught.value.message == "there is no such address"

    assert await book(ann) == [("Leeds", True, 1)]


async def test_book_has_an_end(ann: UUID) -> None:
    """A hundred addresses fit, in parallel too, and can be paged through."""
    await added(ann, *(str(number) for number in range(97)))
    answers = await asyncio.gather(*(address.add(ann, HOME, is_default=False) for _ in range(6)), return_exceptions=True)
    first, token = await address.book(ann, 60, "")
    rest, end = await address.book(ann, 60, token)

    assert Counter(type(answer) for answer in answers) == {Address: 3, FailedPrecondition: 3}
    assert (len({x.id for x in [*first, *rest]}), len(rest), end) == (100, 40, "")


async def test_preferences_have_defaults(ann: UUID) -> None:
    """Who never said hears of orders by mail and of nothing else."""
    wishes = Wishes(email=Channel(orders=True, news=False), sms=Channel(orders=False, news=False), time_zone="UTC", locale="en-GB")

    assert await preferences.of(ann) == Preferred(wishes, 1)


async def test_preferences_are_kept_as_a_whole(ann: UUID) -> None:
    """What is said replaces what was; each change is a version and an event; a version that is not any more is refused."""
    said = Wishes(
        sms=Channel(orders=True, news=False), quiet_hours=QuietHours(**{"from": "22:00", "to": "07:00"}), time_zone="Europe/London"
    )
    await preferences.say(ann, said, if_version=1)
    await preferences.say(ann, said)
    assert await preferences.of(ann) == Preferred(said, 2)
    with pytest.raises(Aborted):
        await preferences.say(ann, Wishes(), if_version=1)
    await preferences.say(ann, Wishes())

    assert await preferences.of(ann) == Preferred(Wishes(), 3)
    assert (await fetch("users", "select count(*) from outbox where type = 'soms.user.updated.v1'"))[0][0] == 2
