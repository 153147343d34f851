"""Profiles: who people are and what they may do.

Whatever changes something of a person locks their row first, so that changes of one person queue. Knows no passwords.
"""

import enum
from collections.abc import Iterable
from typing import Annotated
from uuid import UUID

from pydantic import StringConstraints
from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.expressions import Q
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model

from soms.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from soms.events import UserRegistered, UserUpdated
from soms.models import paging, session
from soms.models.database import fetch, outages, transaction
from soms.models.outbox import append
from soms.values import Email, Line, Phone, Value

REGISTER = """
insert into users (email, name, phone, roles) values ($1, $2, $3, $4) on conflict (email) do nothing returning id
"""
HOLD_ADMINS = "select id from users where 'admin' = any (roles) order by id for no key update"
SEARCH_WORDS_LIMIT = 8


class Role(enum.StrEnum):
    """What somebody may do."""

    CUSTOMER = "customer"
    STAFF = "staff"
    ADMIN = "admin"


class User(Model):
    """A person. Once they are anonymised, `email` is null and nothing tells who they were."""

    id = fields.UUIDField(primary_key=True, default=None, db_default=SqlDefault("uuidv7()"))
    email = fields.CharField(max_length=254, null=True, unique=True)
    name = fields.CharField(max_length=200)
    phone = fields.CharField(max_length=16, null=True)
    roles: list[str] = ArrayField("text")
    version = fields.BigIntField(db_default=1)
    created_at = fields.DatetimeField(db_default=SqlDefault("now()"))

    class Meta:
        """Schema users."""

        table = "users"
        indexes = (("created_at", "id"),)


class Registration(Value):
    """What an account is made of, less its password."""

    email: Email
    name: Line
    phone: Phone | None = None


class ProfileChange(Value):
    """What changes of a profile; None stays, an empty telephone number goes."""

    name: Line | None = None
    phone: Annotated[str, StringConstraints(pattern=r"^(\+[1-9][0-9]{6,14})?$")] | None = None


async def register(registration: Registration) -> User:
    """A new customer, in the transaction under way. Raises AlreadyExists (`email_taken`)."""
    columns = registration.email, registration.name, registration.phone, [Role.CUSTOMER]
    rows = await fetch("users", REGISTER, *columns)
    if not rows:
        raise AlreadyExists("there is an account with this e-mail already", reason="email_taken")
    user = await User.get(id=rows[0]["id"])
    await append("users", UserRegistered(version=user.version, user_id=user.id, email=registration.email, name=user.name))
    return user


async def found(**where: str | UUID) -> User:
    """The one person of this `id` or `email`. Raises NotFound, also for the anonymised."""
    with outages():
        user = await User.filter(**where, email__isnull=False).first()
    return _present(user)


async def locked(user_id: UUID, if_version: int | None = None) -> User:
    """The person, whom nobody else changes before the transaction under way ends. Raises NotFound and Aborted (`stale_version`)."""
    user = _present(await lock(id=user_id))
    check_version(user.version, if_version)
    return user


async def lock(**where: str | UUID) -> User | None:
    """The one person of this `id` or `email`, if there is one, locked likewise."""
    return await User.filter(**where, email__isnull=False).select_for_update(no_key=True).first()


def check_version(version: int, seen: int | None) -> None:
    """Raise Aborted (`stale_version`) unless the caller has seen `version` or does not care."""
    if seen not in {None, version}:
        raise Aborted(f"this is version {version} now", version=version)


async def search(words: str, page_size: int, page_token: str) -> tuple[list[User], str]:
    """A page of people whose e-mail or name contains every word, newest first, and the token of the next. Raises InvalidArgument."""
    query = User.filter(email__isnull=False)
    for word in words.split()[:SEARCH_WORDS_LIMIT]:
        query = query.filter(Q(email__icontains=word) | Q(name__icontains=word))
    return await paging.newest(query, page_size, page_token)


async def update(user_id: UUID, change: ProfileChange, if_version: int | None = None) -> User:
    """Change name or telephone number. Raises NotFound, and Aborted (`stale_version`)."""
    async with transaction("users"):
        user = await locked(user_id, if_version)
        before = user.name, user.phone
        user.name = change.name if change.name is not None else user.name
        user.phone = (change.phone or None) if change.phone is not None else user.phone
        if before != (user.name, user.phone):
            await _changed(user)
        return user


async def set_roles(user_id: UUID, roles: Iterable[str], if_version: int | None = None) -> User:
    """Give somebody these roles and that of a customer; a change ends their sessions.

    Raises InvalidArgument for roles there are not, NotFound, Aborted (`stale_version`), and FailedPrecondition
    (`last_admin`) when nobody would be left to give roles.
    """
    wanted = ordered(roles)
    async with transaction("users"):
        if Role.ADMIN not in wanted:
            await keep_an_admin(user_id)
        return await _assigned(await locked(user_id, if_version), wanted)


async def grant(user_id: UUID, role: str) -> User:
    """Give somebody one more role; where they lack it, that ends their sessions. Raises InvalidArgument and NotFound."""
    async with transaction("users"):
        user = await locked(user_id)
        return await _assigned(user, ordered([*user.roles, role]))


def ordered(roles: Iterable[str]) -> list[str]:
    """Roles as we keep them: each once, least first, a customer always."""
    wanted = {Role.CUSTOMER, *roles}
    if unknown := sorted(wanted - set(Role)):
        raise InvalidArgument.field("roles", "enum", f"there is no role {unknown[0]!r}")
    return [role.value for role in Role if role in wanted]


async def keep_an_admin(user_id: UUID) -> None:
    """Raise FailedPrecondition (`last_admin`) if this person is the only admin; the admins stay as they are until the transaction ends."""
    if [row["id"] for row in await fetch("users", HOLD_ADMINS)] == [user_id]:
        raise FailedPrecondition("somebody must stay admin", reason="last_admin")


async def tell(user: User) -> None:
    """Tell others that the person, or what hangs on them, is different now."""
    event = UserUpdated(version=user.version, user_id=user.id, email=user.email or "", name=user.name, roles=user.roles)
    await append("users", event)


async def _assigned(user: User, roles: list[str]) -> User:
    if user.roles != roles:
        user.roles = roles
        await session.end_all(user.id)
        await _changed(user)
    return user


async def _changed(user: User) -> None:
    user.version += 1
    await user.save()
    await tell(user)


def _present(user: User | None) -> User:
    if user is None:
        raise NotFound("there is no such person")
    return user
