"""E-mail over SMTP. Knows neither events nor templates' content.

A mail that the server accepted just before this process was killed is sent again, as SMTP has no idempotency keys. That is one mail at
most, and it has the same Message-ID.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import localtime, parseaddr
from typing import Final
from uuid import UUID

from soms.agents.provider import Provider, provider
from soms.agents.rendering import Mail, Writer
from soms.agents.smtp import MailServer, address, flat
from soms.config import Settings
from soms.errors import FailedPrecondition, InvalidArgument
from soms.models.notification import Channel
from soms.models.notification_queue import Due
from soms.values import routable

SENDER: Final = "SOMS <shop@soms.localhost>"
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
    """The channel of e-mails.

    Several may be on their way, but only one at a time between its last byte and our record that the server has it.
    """

    channel = Channel.EMAIL
    at_once = 4

    def __init__(self, server: Provider, writer: Writer) -> None:
        """Send by `server`."""
        self._server, self._writer = MailServer(server), writer
        self._sender = _address(server.sender or SENDER)
        self._turn = asyncio.Lock()
        self._accepted: UUID | None = None

    async def send(self, one: Due) -> str:
        """Hand the mail in and give the server's answer; then nobody else hands one in before this is `settled`.

        Raises FailedPrecondition for what this server will never take, SMTPException or OSError for what may go another time.
        """
        recipient = _recipient(one.payload["name"], one.recipient)
        content = flat(compose(self._writer.mail(one), self._sender, recipient, one.key), recipient)
        async with self._server.connection() as client:
            await address(client, self._sender, recipient)
            await self._turn.acquire()
            try:
                answer = await client.data(content)
            except BaseException:
                self._turn.release()
                raise
            self._accepted = one.id
        return answer.message

    def settled(self, one: Due) -> None:
        """What became of the attempt is recorded."""
        if self._accepted == one.id:
            self._accepted = None
            self._turn.release()

    async def leave(self) -> None:
        """Say good-bye to the server."""
        await self._server.leave()


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
    name, email = parseaddr(text)
    try:
        return Address(display_name=name, addr_spec=email)
    except (ValueError, IndexError, MessageError) as cause:
        raise InvalidArgument(f"SOMS_SMTP: {text!r} is nobody to send from") from cause


def _recipient(name: str, email: str) -> Address:
    """The reader. Their name cannot say more than a name: folding loses its quotes (python/cpython#121284), so it needs none."""
    try:
        local, _, domain = routable(email).rpartition("@")
        return Address(" ".join(NO_NAME.sub(" ", name).split()), local, domain)
    except ValueError as cause:
        raise FailedPrecondition(f"no mail can go to {email!r}") from cause
