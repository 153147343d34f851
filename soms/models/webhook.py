"""Webhooks: addresses of others that hear of events, as staff sets them up. Knows neither HTTP nor how events get there."""

import secrets
from base64 import b64encode
from typing import Any, Final
from uuid import UUID

import asyncpg
from tortoise import fields
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model

from soms.errors import Aborted, AlreadyExists, FailedPrecondition, NotFound
from soms.models import paging
from soms.models.database import fetch, transaction

WEBHOOKS_LIMIT: Final = 100
OVERLAP_HOURS: Final = 24
BY_HAND: Final = "paused by hand"

ITEM: Final = "id::text, url, event_types, active, paused_reason, created_at, version"
PAGE: Final = f"select {ITEM} from webhook where $1::uuid is null or id < $1 order by id desc limit $2"
ONE: Final = f"select {ITEM} from webhook where id = $1"
LOCKED: Final = f"{ONE} for no key update"
ROOM: Final = f"select 1 where (select count(*) from webhook) < {WEBHOOKS_LIMIT}"
ADD: Final = f"insert into webhook (url, event_types, secret) values ($1, $2, $3) returning {ITEM}"
# whoever resumes it or leads it elsewhere has set right what was wrong
CHANGE: Final = f"""
update webhook set url = $2, event_types = $3, active = $4, version = version + 1,
       paused_reason = case when $4 then null else coalesce(paused_reason, '{BY_HAND}') end,
       failing_since = null, failures = 0, resting_until = null
 where id = $1 returning {ITEM}
"""
ROTATE: Final = f"""
update webhook set secret = $2, previous_secret = secret, previous_until = now() + interval '{OVERLAP_HOURS} hours', version = version + 1
 where id = $1 returning {ITEM}
"""
REMOVE: Final = "delete from webhook where id = $1"
# nobody waits any more for what was on its way; what was given up stays so
UNSEND: Final = """
update notification set status = 'suppressed', next_attempt_at = null, payload = null
 where channel = 'webhook' and status in ('pending', 'held') and payload ->> 'webhook_id' = $1
"""


class Webhook(Model):
    """An address that hears of events.

    `secret` signs what it is sent, and `previous_secret` does so too until `previous_until`. `failures` counts failed attempts since one
    succeeded, the first of them at `failing_since`; until `resting_until` nothing is sent. `version` counts what people are shown.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=SqlDefault("uuidv7()"))
    url = fields.CharField(max_length=2000, unique=True)
    event_types: list[str] = ArrayField("text")
    secret = fields.CharField(max_length=50)
    previous_secret = fields.CharField(max_length=50, null=True)
    previous_until = fields.DatetimeField(null=True)
    active = fields.BooleanField(db_default=True)
    paused_reason = fields.CharField(max_length=200, null=True)
    failures = fields.IntField(db_default=0)
    failing_since = fields.DatetimeField(null=True)
    resting_until = fields.DatetimeField(null=True)
    version = fields.BigIntField(db_default=1)
    created_at = fields.DatetimeField(db_default=SqlDefault("now()"))

    class Meta:
        """Schema notifications."""

        table = "webhook"


async def page(page_size: int, page_token: str) -> tuple[list[dict[str, Any]], str]:
    """A page of webhooks as documents (members of rest.md, and `version`), newest first, and the token of the next.

    Raises InvalidArgument.
    """
    limit = paging.size(page_size)
    (seen,) = paging.position(page_token, UUID) or (None,)
    shown, token = paging.page(await fetch("notifications", PAGE, seen, limit + 1), limit, "id")
    return [_document(row) for row in shown], token


async def show(webhook_id: UUID) -> dict[str, Any]:
    """One webhook. Raises NotFound."""
    return _document(_present(await fetch("notifications", ONE, webhook_id)))


async def add(url: str, event_types: list[str]) -> dict[str, Any]:
    """A new webhook, with its `secret`, which is told this once.

    Raises AlreadyExists (`url_taken`), and FailedPrecondition (`too_many_webhooks`).
    """
    secret = _secret()
    try:
        async with transaction("notifications"):
            if not await fetch("notifications", ROOM):
                raise FailedPrecondition(f"there is room for {WEBHOOKS_LIMIT} webhooks", reason="too_many_webhooks")
            [row] = await fetch("notifications", ADD, url, event_types, secret)
    except asyncpg.UniqueViolationError as cause:
        raise _taken() from cause
    return {**_document(row), "secret": secret}


async def change(webhook_id: UUID, changes: dict[str, Any], if_version: int | None = None) -> dict[str, Any]:
    """Change `url`, `event_types` or `active`; a webhook that becomes active is as good as new.

    Raises NotFound, Aborted (`stale_version`) and AlreadyExists (`url_taken`).
    """
    try:
        async with transaction("notifications"):
            before = await _locked(webhook_id, if_version)
            after = before | changes
            if after == before:
                return before
            rows = await fetch("notifications", CHANGE, webhook_id, after["url"], after["event_types"], after["active"])
            return _document(rows[0])
    except asyncpg.UniqueViolationError as cause:
        raise _taken() from cause


async def rotate(webhook_id: UUID, if_version: int | None = None) -> dict[str, Any]:
    """Give it a new `secret`, told this once; the one before signs too for `OVERLAP_HOURS`, one before that not any more.

    Raises NotFound and Aborted (`stale_version`).
    """
    secret = _secret()
    async with transaction("notifications"):
        await _locked(webhook_id, if_version)
        [row] = await fetch("notifications", ROTATE, webhook_id, secret)
    return {**_document(row), "secret": secret}


async def remove(webhook_id: UUID, if_version: int | None = None) -> None:
    """Forget a webhook; what is on its way to it is not sent any more. Raises NotFound and Aborted (`stale_version`)."""
    async with transaction("notifications"):
        await _locked(webhook_id, if_version)
        await fetch("notifications", REMOVE, webhook_id)
        await fetch("notifications", UNSEND, str(webhook_id))


async def _locked(webhook_id: UUID, if_version: int | None) -> dict[str, Any]:
    row = _present(await fetch("notifications", LOCKED, webhook_id))
    if if_version not in {None, row["version"]}:
        raise Aborted(f"this is version {row['version']} now", version=row["version"])
    return _document(row)


def _present(rows: list[asyncpg.Record]) -> asyncpg.Record:
    if not rows:
        raise NotFound("there is no such webhook")
    return rows[0]


def _document(row: asyncpg.Record) -> dict[str, Any]:
    return {**row, "created_at": row["created_at"].isoformat()}


def _secret() -> str:
    """32 random bytes, written as Standard Webhooks says."""
    return f"whsec_{b64encode(secrets.token_bytes(32)).decode()}"


def _taken() -> AlreadyExists:
    return AlreadyExists("a webhook has this address already", reason="url_taken")
