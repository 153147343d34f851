"""People on the wire: models of the domain to messages of `soms.v1`, and requests to values of the domain."""

import contextlib
from collections.abc import Collection
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator

from soms.errors import InvalidArgument, NotFound
from soms.models.address import Address
from soms.models.credential import NewPassword
from soms.models.preferences import Preferred, Wishes
from soms.models.profile import Registration, User
from soms.rpc.gen.soms import v1
from soms.values import Email, OptionalLine, PostalAddress, Value

PASSWORD_LIMIT_BYTES = 256
PEOPLE_LIMIT = 500
ADDRESS_MEMBERS = tuple(PostalAddress.model_fields)


def _hashable(password: str) -> str:
    if len(password.encode()) > PASSWORD_LIMIT_BYTES:
        raise ValueError(f"must have at most {PASSWORD_LIMIT_BYTES} bytes")
    return password


class Account(Value):
    """Whose account is meant."""

    email: Email


class Credentials(Account):
    """What signs somebody in; a password too short to be one is merely wrong."""

    password: Annotated[str, AfterValidator(_hashable)]


class Search(Value):
    """Words to look for."""

    q: OptionalLine


def identity(text: str) -> UUID:
    """An id; what is no UUID is the id of nothing. Raises NotFound."""
    try:
        return UUID(text)
    except ValueError as cause:
        raise NotFound("there is no such person or address") from cause


def identities(texts: Collection[str]) -> set[UUID]:
    """Ids, less those of nothing. Raises InvalidArgument for more than `PEOPLE_LIMIT`."""
    if len(texts) > PEOPLE_LIMIT:
        raise InvalidArgument(f"at most {PEOPLE_LIMIT} people at once", reason="invalid_parameter")
    found = set[UUID]()
    for text in texts:
        with contextlib.suppress(NotFound):
            found.add(identity(text))
    return found


def user(found: User) -> v1.User:
    """The message of a profile."""
    return v1.User(str(found.id), found.email or "", found.name, found.phone, list(found.roles), found.version, found.created_at)


def registration(message: v1.RegisterUserRequest) -> tuple[Registration, NewPassword]:
    """The account and the password asked for; all that is wrong with either is said at once."""
    asked = _Signup(email=message.email, password=message.password, name=message.name, phone=message.phone)
    return Registration(email=asked.email, name=asked.name, phone=asked.phone), NewPassword(password=asked.password)


class _Signup(Registration, NewPassword):
    pass


def address(found: Address) -> v1.Address:
    """The message of an entry of an address book."""
    members = {name: getattr(found, name) for name in ADDRESS_MEMBERS}
    return v1.Address(id=str(found.id), **members, is_default=found.is_default, version=found.version)


def place(message: v1.Address) -> PostalAddress:
    """The address in a message."""
    return PostalAddress(**{name: getattr(message, name) for name in ADDRESS_MEMBERS})


def address_changes(message: v1.UpdateAddressRequest) -> dict[str, Any]:
    """The members that the message gives."""
    given = {name: getattr(message, name) for name in (*ADDRESS_MEMBERS, "is_default")}
    return {name: value for name, value in given.items() if value is not None}


def preferences(found: Preferred) -> v1.Preferences:
    """The message of somebody's wishes."""
    said, quiet = found.wishes, found.wishes.quiet_hours
    return v1.Preferences(
        email=v1.ChannelPreferences(said.email.orders, said.email.news),
        sms=v1.ChannelPreferences(said.sms.orders, said.sms.news),
        quiet_hours=v1.QuietHours(quiet.from_, quiet.to) if quiet else None,
        time_zone=said.time_zone,
        locale=said.locale,
        version=found.version,
    )


def wishes(message: v1.Preferences) -> Wishes:
    """The wishes in a message; a channel that is absent carries nothing."""
    email, sms = message.email or v1.ChannelPreferences(), message.sms or v1.ChannelPreferences()
    quiet = message.quiet_hours
    members = {
        "email": {"orders": email.orders, "news": email.news},
        "sms": {"orders": sms.orders, "news": sms.news},
        "quiet_hours": {"from": quiet.from_, "to": quiet.to} if quiet else None,
        "time_zone": message.time_zone,
        "locale": message.locale,
    }
    return Wishes.model_validate(members)
