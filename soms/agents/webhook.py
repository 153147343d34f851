"""Events posted to the webhooks of others, signed as Standard Webhooks 1.0 says. Knows neither who set them up nor when to try again.

Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
"""

import base64
import contextlib
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Iterable
from http import HTTPStatus
from importlib.metadata import version
from typing import Final
from uuid import UUID

import aiohttp
import orjson
from yarl import URL

from soms.agents.target import NotPublicError, connector
from soms.config import Settings
from soms.errors import FailedPrecondition, Unavailable
from soms.models import webhook_delivery as webhooks
from soms.models.notification import Channel
from soms.models.notification_queue import Due
from soms.models.webhook_delivery import Target

ANSWER_SECONDS: Final = 5.0
LONGEST_WAIT_SECONDS: Final = 3600.0
GONE: Final = "it answered 410 Gone"


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature (`v1`, HMAC-SHA256) of a message sent at `timestamp`, in seconds since 1970."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def headers(message_id: str, timestamp: int, body: bytes, secrets: Iterable[str]) -> dict[str, str]:
    """What a receiver needs to know the message again and to believe it; a signature by each secret."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(secret, message_id, timestamp, body) for secret in secrets),
        "Content-Type": "application/json",
        "User-Agent": f"SOMS/{version('soms')}",
    }


def content(one: Due) -> bytes:
    """The body: type of the event, time at which it came true, and the event."""
    return orjson.dumps({"type": one.event_type, "timestamp": one.payload["at"], "data": one.payload["event"]})


class Webhooks:
    """The channel of webhooks."""

    channel = Channel.WEBHOOK
    at_once = 16

    def __init__(self, session: aiohttp.ClientSession) -> None:
        """Post over `session`, which decides what may be reached."""
        self._session = session

    async def send(self, one: Due) -> str:
        """Post it and give the status of the answer.

        Raises FailedPrecondition where nothing is to be sent there any more, Unavailable for whatever else is no 2xx in five seconds.
        """
        webhook_id = UUID(one.payload["webhook_id"])
        target = await webhooks.target(webhook_id)
        try:
            status, wait_seconds = await self._post(target, str(one.id), content(one))
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise Unavailable(_said(error), retry_after=await webhooks.failed(webhook_id)) from error
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            with contextlib.suppress(Unavailable):  # it has the message, whether we can note so or not
                await webhooks.succeeded(webhook_id)
            return str(status)
        if status == HTTPStatus.GONE:
            await webhooks.pause(webhook_id, GONE)
            raise FailedPrecondition(GONE)
        raise Unavailable(f"it answered {status}", retry_after=max(wait_seconds, await webhooks.failed(webhook_id)))

    def settled(self, one: Due) -> None:
        """Nothing: a receiver knows a repetition by its id."""

    async def _post(self, target: Target, message_id: str, body: bytes) -> tuple[int, float]:
        """Status of the answer, and for how many seconds it asks us to wait; the body of the answer is nobody's business."""
        signed = headers(message_id, int(time.time()), body, target.secrets)
        async with self._session.post(URL(target.url, encoded=True), data=body, headers=signed, allow_redirects=False) as answer:
            wait = answer.headers.get("Retry-After", "")
            return answer.status, min(float(wait), LONGEST_WAIT_SECONDS) if wait.isascii() and wait.isdecimal() else 0


@contextlib.asynccontextmanager
async def webhook_posts(settings: Settings) -> AsyncIterator[Webhooks]:
    """The channel; private addresses are reached where the settings allow it."""
    async with aiohttp.ClientSession(
        connector=connector(private=settings.webhook_private),
        timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    ) as session:
        yield Webhooks(session)


def _said(error: Exception) -> str:
    """What went wrong, without addresses and answers, which may be somebody's secrets."""
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_SECONDS:g} s"
    cause = getattr(error, "os_error", error)
    return "its address is not public" if isinstance(cause, NotPublicError) else f"it cannot be reached: {type(cause).__name__}"
