"""Text messages over HTTP, in the shape of Twilio's call to create a message. Knows neither events nor templates' content.

The provider sees the same Idempotency-Key again in every attempt, so that a message it has accepted is not sent twice.
"""

import contextlib
import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from soms.agents.answer import beginning
from soms.agents.provider import Provider, provider
from soms.agents.rendering import Writer
from soms.config import Settings
from soms.errors import FailedPrecondition, InvalidArgument, Unavailable
from soms.models.notification import Channel
from soms.models.notification_queue import Due

SENDER: Final = "SOMS"
# what may go another time although it is called the client's mistake
PATIENT: Final = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
# ours to set right, so nothing is lost meanwhile
OURS: Final = {HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}


class Sms:
    """The channel of text messages."""

    channel = Channel.SMS
    at_once = 8

    def __init__(self, service: Provider, writer: Writer, session: aiohttp.ClientSession) -> None:
        """Send by `service` over `session`."""
        self._writer, self._session = writer, session
        port = f":{service.port}" if service.port else ""
        self._url = f"{service.scheme}://{service.host}{port}/2010-04-01/Accounts/{service.user}/Messages.json"
        self._login = aiohttp.encode_basic_auth(service.user, service.password)
        self._sender = service.sender or SENDER

    async def send(self, one: Due) -> str:
        """Hand the message in and give the provider's id of it.

        Raises FailedPrecondition for what it will never take, Unavailable or OSError for what may go another time.
        """
        form = {"To": one.recipient, "From": self._sender, "Body": self._writer.text(one)}
        headers = {"Authorization": self._login, "Idempotency-Key": one.key}
        try:
            async with self._session.post(self._url, data=form, headers=headers, allow_redirects=False) as answer:
                body = _document(await beginning(answer))
                if answer.status < HTTPStatus.MULTIPLE_CHOICES:
                    return str(body.get("sid", answer.status))
                raise _refusal(answer, str(body.get("message", answer.reason)))
        except aiohttp.ClientError as error:
            raise Unavailable(str(error) or type(error).__name__) from error

    def settled(self, one: Due) -> None:
        """Nothing: the provider knows a repetition."""


@contextlib.asynccontextmanager
async def text_messages(settings: Settings, writer: Writer) -> AsyncIterator[Sms | None]:
    """The channel over the provider of the settings, None without one. Raises InvalidArgument where its setting is wrong."""
    if not settings.sms_url:
        yield None
        return
    service = provider(settings.sms_url, "SOMS_SMS_URL", "http", "https")
    if not service.user:
        raise InvalidArgument("SOMS_SMS_URL names no account: https://account:token@host")
    async with aiohttp.ClientSession() as session:
        yield Sms(service, writer, session)


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _refusal(answer: aiohttp.ClientResponse, message: str) -> Exception:
    said = f"{answer.status} {message}"
    if HTTPStatus.BAD_REQUEST <= answer.status < HTTPStatus.INTERNAL_SERVER_ERROR and answer.status not in PATIENT | OURS:
        return FailedPrecondition(said)
    wait = answer.headers.get("Retry-After", "")
    return Unavailable(said, retry_after=float(wait) if wait.isdecimal() else None)
