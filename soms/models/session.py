"""Sessions: a refresh token and the chain of its successors. Knows people by id alone.

A token is the id of its session and 32 octets that nobody can guess; the database has its SHA-256 only. Each token is good
once (RFC 9700 §4.14.2). Its successor is derived from it by HMAC, so that those who ask again within the grace, having lost
the answer or run in parallel, get the very same one. Who comes later with a token of the session that is used up, or that
never was one, knows what only its holder may know: the session ends.
"""

import hashlib
import hmac
import logging
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final
from uuid import UUID, uuid4

from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model

from soms.errors import Unauthenticated
from soms.models.database import fetch, transaction

log = logging.getLogger(__name__)

LIFETIME_DAYS: Final = 30
GRACE_SECONDS: Final = 10
SHAPE: Final = re.compile(r"[\w-]{64}", re.ASCII)

BEGIN = f"""
with begun as (insert into session (id, user_id, expires_at) values ($1, $2, now() + interval '{LIFETIME_DAYS} days') returning id)
insert into refresh_token (hash, session_id) select $3, id from begun
"""
HOLD = "select user_id from session where id = $1 and expires_at > now() for update"
USE = f"""
update refresh_token set used_at = coalesce(used_at, now())
where session_id = $1 and hash = $2 and (used_at is null or used_at > now() - interval '{GRACE_SECONDS} seconds')
returning hash
"""
SUCCEED = f"""
with longer as (update session set expires_at = now() + interval '{LIFETIME_DAYS} days' where id = $1)
insert into refresh_token (hash, session_id) values ($2, $1) on conflict do nothing
"""
END = "delete from session where id = $1"
END_ALL = "delete from session where user_id = $1"


class Session(Model):
    """Somebody signed in somewhere; gone when they sign out."""

    id = fields.UUIDField(primary_key=True)
    user: fields.ForeignKeyRelation[Model] = fields.ForeignKeyField("users.User", related_name="sessions", on_delete=fields.CASCADE)
    created_at = fields.DatetimeField(db_default=SqlDefault("now()"))
    expires_at = fields.DatetimeField(db_index=True)

    class Meta:
        """Schema users."""

        table = "session"


class RefreshToken(Model):
    """A token of a session by its SHA-256; used ones are kept for the grace."""

    hash = fields.CharField(max_length=64, primary_key=True)
    session: fields.ForeignKeyRelation[Session] = fields.ForeignKeyField("users.Session", related_name="tokens", on_delete=fields.CASCADE)
    used_at = fields.DatetimeField(null=True, db_index=True)

    class Meta:
        """Schema users."""

        table = "refresh_token"


async def begin(user_id: UUID) -> str:
    """Begin a session and give its first refresh token."""
    session_id = uuid4()
    token = _token(session_id, secrets.token_bytes(32))
    await fetch("users", BEGIN, session_id, user_id, digest(token))
    return token


async def refresh(key: bytes, token: str) -> tuple[UUID, str]:
    """Whose session it is, and the successor of `token`, which is used up now. Raises Unauthenticated (`invalid_token`)."""
    session_id = _session_id(token)
    async with transaction("users"):
        held = await fetch("users", HOLD, session_id)
        used = held and await fetch("users", USE, session_id, digest(token))
        next_token = successor(key, token)
        if used:
            await fetch("users", SUCCEED, session_id, digest(next_token))
        elif held:
            log.warning("a refresh token came again: session of user %s ended", held[0]["user_id"])
            await end(token)
    if not used:
        raise invalid_token()
    return held[0]["user_id"], next_token


async def end(token: str) -> None:
    """End the session of any of its tokens, if it still is one."""
    if SHAPE.fullmatch(token):
        await fetch("users", END, _session_id(token))


async def end_all(user_id: UUID) -> None:
    """End all sessions of somebody, in the transaction under way."""
    await fetch("users", END_ALL, user_id)


def successor(key: bytes, token: str) -> str:
    """The one token that follows `token`; without `key` nobody can tell it."""
    return _token(_session_id(token), hmac.digest(key, token.encode(), "sha256"))


def digest(token: str) -> str:
    """What is kept of a token: its SHA-256, hexadecimal."""
    return hashlib.sha256(token.encode()).hexdigest()


def invalid_token() -> Unauthenticated:
    """The one answer to any token that is not good, whatever is wrong with it."""
    return Unauthenticated("the token is not good, or not any more", reason="invalid_token")


def _token(session_id: UUID, unguessable: bytes) -> str:
    return urlsafe_b64encode(session_id.bytes + unguessable).decode()


def _session_id(token: str) -> UUID:
    if not SHAPE.fullmatch(token):
        raise invalid_token()
    return UUID(bytes=urlsafe_b64decode(token)[:16])
