"""Signing in with a password, and getting a new one. The same answer, after the same time, for the unknown and the wrong."""

import asyncio
import contextlib
import secrets
from typing import Final, NamedTuple

from tortoise import fields
from tortoise.models import Model

from soms.errors import AlreadyExists, NotFound, Unauthenticated
from soms.events import UserPasswordReset
from soms.models import hashing, profile, session, throttle
from soms.models.database import fetch, transaction
from soms.models.outbox import append
from soms.models.profile import Registration, User
from soms.values import Email, Password, Value

RESET_MINUTES: Final = 60
# mails that a stranger can make us send to somebody within that time
RESETS_LIMIT: Final = 5
# longer than the work takes, so that it does not show
RESET_SECONDS: Final = 0.1

LOOK_UP = "select hash from credential join users on users.id = user_id where email = $1"
KEEP = "insert into credential (user_id, hash) values ($1, $2) on conflict (user_id) do update set hash = excluded.hash"
RENEW = "update credential set hash = $3 where user_id = $1 and hash = $2 returning user_id"
REQUEST = f"""
insert into password_reset (hash, user_id, expires_at) select $1, $2, now() + interval '{RESET_MINUTES} minutes'
where (select count(*) from password_reset where user_id = $2 and expires_at > now()) < {RESETS_LIMIT}
returning expires_at
"""
RESET_OF = "select user_id from password_reset where hash = $1 and expires_at > now()"
USE_RESET = "delete from password_reset where hash = $1 and expires_at > now() returning user_id"
END_RESETS = "delete from password_reset where user_id = $1"


class Credential(Model):
    """A password's argon2id hash, apart from the profile, so that no reading of profiles can show it."""

    user: fields.OneToOneRelation[User] = fields.OneToOneField("users.User", primary_key=True, on_delete=fields.CASCADE)
    hash = fields.CharField(max_length=200)

    class Meta:
        """Schema users."""

        table = "credential"


class PasswordReset(Model):
    """A reset token by its SHA-256, good once and for an hour."""

    hash = fields.CharField(max_length=64, primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("users.User", related_name="resets", on_delete=fields.CASCADE)
    expires_at = fields.DatetimeField(db_index=True)

    class Meta:
        """Schema users."""

        table = "password_reset"


class NewPassword(Value):
    """A password to be set; made before anything is hashed, so that its bounds hold."""

    password: Password


class Grant(NamedTuple):
    """A session begun or continued: whose it is, and its refresh token."""

    user: User
    refresh_token: str


async def register(registration: Registration, new: NewPassword | None) -> User:
    """A new customer; without a password nobody can sign in until one is set by a reset. Raises AlreadyExists (`email_taken`)."""
    phc = await hashing.hashed(new.password) if new else None
    async with transaction("users"):
        user = await profile.register(registration)
        if phc:
            await fetch("users", KEEP, user.id, phc)
        return user


async def issue(registration: Registration, new: NewPassword | None, role: str) -> User:
    """The account of this e-mail, made where it is missing, with `role` given where it lacks it. Raises InvalidArgument."""
    wanted = profile.ordered([role])
    with contextlib.suppress(AlreadyExists):
        await register(registration, new)
    user = await profile.found(email=registration.email)
    return user if set(wanted) <= set(user.roles) else await profile.grant(user.id, role)


async def login(email: Email, password: str, client_address: str) -> Grant:
    """Begin a session.

    Raises Unauthenticated (`invalid_credentials`); ResourceExhausted (`rate_limited`) after too many failures, whatever
    the password; Unavailable when too many wait for their turn.
    """
    attempt = throttle.subjects(email, client_address)
    await throttle.admit(attempt)
    rows = await fetch("users", LOOK_UP, email)
    phc = rows[0]["hash"] if rows else None
    right = await hashing.verified(phc, password)
    if phc is None or not right:
        await throttle.count(attempt)
        raise _invalid_credentials()
    # failures that were counted while this one was hashed
    await throttle.admit(attempt)
    return await _granted(email, phc, await hashing.renewed(phc, password))


async def carry_on(key: bytes, token: str) -> Grant:
    """Go on with the session of a refresh token. Raises Unauthenticated (`invalid_token`)."""
    user_id, next_token = await session.refresh(key, token)
    try:
        return Grant(await profile.found(id=user_id), next_token)
    except NotFound:
        raise session.invalid_token() from None


async def request_reset(email: Email) -> None:
    """Have a reset token sent to the account, if there is one; tells nobody whether."""
    await asyncio.gather(_request_reset(email), asyncio.sleep(RESET_SECONDS))


async def confirm_reset(token: str, new: NewPassword) -> None:
    """Set the password with a reset token, end all sessions and forgive failed logins. Raises Unauthenticated (`invalid_token`)."""
    hashed_token = session.digest(token)
    rows = await fetch("users", RESET_OF, hashed_token)
    if not rows:
        raise session.invalid_token()
    phc = await hashing.hashed(new.password)
    async with transaction("users"):
        user = await profile.lock(id=rows[0]["user_id"])
        if not user or not await fetch("users", USE_RESET, hashed_token):
            raise session.invalid_token()
        await fetch("users", KEEP, user.id, phc)
        await fetch("users", END_RESETS, user.id)
        await session.end_all(user.id)
        await throttle.forget(user.email or "")


async def _granted(email: str, verified: str, renewed: str) -> Grant:
    """Begin a session, unless the password was changed since it was verified."""
    async with transaction("users"):
        user = await profile.lock(email=email)
        if not user or not await fetch("users", RENEW, user.id, verified, renewed):
            raise _invalid_credentials()
        return Grant(user, await session.begin(user.id))


async def _request_reset(email: str) -> None:
    token = secrets.token_urlsafe(32)
    async with transaction("users"):
        user = await profile.lock(email=email)
        if not user:
            return
        for row in await fetch("users", REQUEST, session.digest(token), user.id):
            event = UserPasswordReset(version=user.version, user_id=user.id, email=email, token=token, expires_at=row["expires_at"])
            await append("users", event)


def _invalid_credentials() -> Unauthenticated:
    return Unauthenticated("no account has this e-mail and password", reason="invalid_credentials")
