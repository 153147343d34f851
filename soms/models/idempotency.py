"""Idempotency keys: an answer is stored with the change it answers, so that a retry gets the same bytes and changes nothing.

After draft-ietf-httpapi-idempotency-key-header-07. Keys are per account and kept for 24 hours.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from uuid import UUID

import asyncpg
import orjson
from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model

from soms import errors
from soms.errors import Aborted, FailedPrecondition, InvalidArgument, SomsError, Unavailable
from soms.logging import request_id
from soms.models.database import fetch, transaction

KEPT_HOURS = 24
# rivals under one key queue here; longer than a second is `in_flight`
CLAIM = "select set_config('lock_timeout', '1s', true), pg_advisory_xact_lock(hashtextextended($1, 0))"
LOOK_UP = "select fingerprint, answer from idempotency where user_id = $1 and key = $2"
STORE = "insert into idempotency (user_id, key, fingerprint, answer) values ($1, $2, $3, $4)"
TAKE = "insert into idempotency (user_id, key, fingerprint) values ($1, $2, $3) on conflict do nothing"
PRUNE = f"delete from idempotency where created_at < now() - interval '{KEPT_HOURS} hours'"


class Idempotency(Model):
    """A key and what was answered under it; `answer` is null while a change in another service owns the key."""

    id = fields.BigIntField(primary_key=True)
    user_id = fields.UUIDField()
    key = fields.CharField(max_length=255)
    fingerprint = fields.BinaryField()
    answer = fields.TextField(null=True)
    created_at = fields.DatetimeField(db_default=SqlDefault("now()"), db_index=True)

    class Meta:
        """One table per schema: each service has a subclass of its own."""

        abstract = True
        unique_together = (("user_id", "key"),)


class Answer(NamedTuple):
    """A document (JSON object) that was or is now answered, and whether it was answered before."""

    document: dict[str, Any]
    replayed: bool


def fingerprint(method: str, request: Any) -> bytes:
    """SHA-256 over the method and the canonical form of its request (JSON with sorted members)."""
    return hashlib.sha256(orjson.dumps([method, request], option=orjson.OPT_SORT_KEYS)).digest()


def refusal(error: SomsError, request: str | None) -> dict[str, Any]:
    """The document that stores a refusal, with the id of the request it answered first."""
    return {
        "refusal": type(error).__name__,
        "message": error.message,
        "reason": error.reason,
        "details": error.details,
        "request_id": request,
    }


def mismatch() -> InvalidArgument:
    """What a key answers that stands for another request."""
    return InvalidArgument("this idempotency key was used for another request", reason="idempotency_mismatch")


def in_flight() -> Aborted:
    """What a key answers while its first request is under way."""
    return Aborted("a request with this idempotency key is under way", reason="in_flight", retry_after=1)


def replay(row: Any, expected: bytes) -> Answer:
    """The stored answer of an idempotency row; a stored refusal is raised again, marked as replayed.

    Raises InvalidArgument (`idempotency_mismatch`) when the key stands for another request.
    """
    if bytes(row["fingerprint"]) != expected or row["answer"] is None:
        raise mismatch()
    document = orjson.loads(row["answer"])
    if "refusal" in document:
        kind = getattr(errors, document["refusal"])
        raise kind(document["message"], reason=document["reason"], **document["details"], replayed=True, request_id=document["request_id"])
    return Answer(document, replayed=True)


async def once(schema: str, user_id: UUID, key: str, expected: bytes, change: Callable[[], Awaitable[dict[str, Any]]]) -> Answer:
    """Make a change under a key, at most once, in one transaction; a repetition gets the first answer.

    A refusal by the state of things (FailedPrecondition) is an answer, too. An empty key keeps nothing. Raises what `change` raises,
    InvalidArgument (`idempotency_mismatch`), and Aborted (`in_flight`) when a copy takes longer than a second.
    """
    if not key:
        async with transaction(schema):
            return Answer(await change(), replayed=False)
    async with transaction(schema):
        await _claim(schema, user_id, key)
        if rows := await fetch(schema, LOOK_UP, user_id, key):
            return replay(rows[0], expected)
        refused, document = await _attempt(schema, change)
        try:
            await fetch(schema, STORE, user_id, key, expected, orjson.dumps(document).decode())
        except asyncpg.UniqueViolationError as cause:  # a placement, which queues elsewhere, was faster
            raise in_flight() from cause
    if refused:
        raise refused
    return Answer(document, replayed=False)


async def _attempt(schema: str, change: Callable[[], Awaitable[dict[str, Any]]]) -> tuple[SomsError | None, dict[str, Any]]:
    try:
        async with transaction(schema):
            return None, await change()
    except FailedPrecondition as error:
        return error, refusal(error, request_id.get())


async def _claim(schema: str, user_id: UUID, key: str) -> None:
    try:
        await fetch(schema, CLAIM, f"{user_id}:{key}")
    except Unavailable as cause:
        if not isinstance(cause.__cause__, asyncpg.LockNotAvailableError):
            raise
        raise in_flight() from cause


async def take(schema: str, user_id: UUID, key: str, expected: bytes) -> None:
    """Claim a key for a change elsewhere. Raises InvalidArgument (`idempotency_mismatch`) when it stands for another request."""
    await fetch(schema, TAKE, user_id, key, expected)
    (row,) = await fetch(schema, LOOK_UP, user_id, key)
    if bytes(row["fingerprint"]) != expected:
        raise mismatch()


async def prune(schema: str) -> None:
    """Forget answers older than `KEPT_HOURS`."""
    await fetch(schema, PRUNE)
