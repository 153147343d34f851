"""E-mail over SMTP: one connection, kept from one mail to the next. Knows neither events nor templates' content.

A mail that the server accepted just before this process was killed may be sent again, as SMTP has no idempotency keys: one at a time
is under way, so it is one at most, and it has the same Message-ID.
"""

import contextlib
import re
import socket
import time
from collections.abc import AsyncIterator
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import localtime, parseaddr
from typing import Final

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
)

from soms.agents.provider import Provider, provider
from soms.agents.rendering import Mail, Writer
from soms.config import Settings
from soms.errors import FailedPrecondition, InvalidArgument, Unavailable
from soms.models.notification import Channel
from soms.models.notification_queue import Due
from soms.values import routable

SENDER: Final = "SOMS <shop@soms.localhost>"
# servers close connections that rest for long
IDLE_SECONDS: Final = 20.0
REPLY_SECONDS: Final = 8.0
PERMANENT: Final = 500
# control characters, and what has a meaning of its own in a header (RFC 5322, specials)
NO_NAME: Final = re.compile(r'[\x00-\x1f\x7f-\x9f\u2028\u2029()<>\[\]:;@\\,"]')


def compose(mail: Mail, sender: Address, recipient: Address, key: str) -> EmailMessage:
    """The message; the header of a stranger's making is impossible, for the library refuses what would break a line."""
    message = EmailMessage()
    message["From"], message["To"] = sender, recipient
    message["Subject"] = mail.subject
    message["Date"] = localtime()
    message["Message-ID"] = f"<{key}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's absence should answer
    message["Content-Language"] = "en"
    if mail.unsubscribe_url:
        message["List-Unsubscribe"] = f"<{mail.unsubscribe_url}>"  # RFC 8058
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(mail.text, cte="quoted-printable")
    message.add_alternative(mail.html, subtype="html", cte="quoted-printable")
    return message


class Email:
    """The channel of e-mails."""

    channel = Channel.EMAIL
    at_once = 1

    def __init__(self, server: Provider, writer: Writer) -> None:
        """Connect when there is something to send."""
        self._server, self._writer = server, writer
        self._sender = _address(server.sender or SENDER)
        self._client: SMTP | None = None
        self._used = 0.0

    async def send(self, one: Due) -> str:
        """Hand the mail in and give the server's answer.

        Raises FailedPrecondition for what this server will never take, SMTPException or OSError for what may go another time.
        """
        recipient = _recipient(one.payload["name"], one.recipient)
        message = compose(self._writer.mail(one), self._sender, recipient, one.key)
        client = await self._connected()
        try:
            _, answer = await client.send_message(message, sender=self._sender.addr_spec, recipients=[recipient.addr_spec])
        except SMTPRecipientsRefused as refusal:
            first = refusal.recipients[0]
            raise _refused(first.code, first.message) from refusal
        except SMTPDataError as refusal:
            raise _refused(refusal.code, refusal.message) from refusal
        except SMTPNotSupported as refusal:
            raise FailedPrecondition(refusal.message) from refusal
        except BaseException:  # also when time is up: nobody knows what this connection is at
            self._close()
            raise
        return answer

    async def leave(self) -> None:
        """Say good-bye to the server."""
        if self._client:
            with contextlib.suppress(SMTPException, OSError):
                await self._client.quit(timeout=1)
        self._close()

    async def _connected(self) -> SMTP:
        if self._client and (not self._client.is_connected or time.monotonic() - self._used > IDLE_SECONDS):
            self._close()
        if self._client is None:
            server = self._server
            client = SMTP(
                hostname=server.host,
                port=server.port or None,
                username=server.user or None,
                password=server.password or None,
                use_tls=server.scheme == "smtps",
                local_hostname=socket.gethostname(),
                timeout=REPLY_SECONDS,
            )
            await client.connect()
            self._client = client
        self._used = time.monotonic()
        return self._client

    def _close(self) -> None:
        client, self._client = self._client, None
        if client:
            client.close()


@contextlib.asynccontextmanager
async def mails(settings: Settings, writer: Writer) -> AsyncIterator[Email]:
    """The channel over the mail server of the settings. Raises FailedPrecondition where there is none, InvalidArgument for a wrong one."""
    if not settings.smtp:
        raise FailedPrecondition("no mail server: start the engines (`soms engines`, `soms up`) or set SOMS_SMTP")
    channel = Email(provider(settings.smtp, "SOMS_SMTP", "smtp", "smtps"), writer)
    try:
        yield channel
    finally:
        await channel.leave()


def _address(text: str) -> Address:
    name, address = parseaddr(text)
    try:
        return Address(display_name=name, addr_spec=address)
    except (ValueError, IndexError, MessageError) as cause:
        raise InvalidArgument(f"SOMS_SMTP: {text!r} is nobody to send from") from cause


def _recipient(name: str, email: str) -> Address:
    """The reader. Their name cannot say more than a name: folding loses its quotes (python/cpython#121284), so it needs none."""
    try:
        local, _, domain = routable(email).rpartition("@")
        return Address(" ".join(NO_NAME.sub(" ", name).split()), local, domain)
    except ValueError as cause:
        raise FailedPrecondition(f"no mail can go to {email!r}") from cause


def _refused(code: int, answer: str) -> Exception:
    return FailedPrecondition(f"{code} {answer}") if code >= PERMANENT else Unavailable(f"{code} {answer}")
