"""Connections to a mail server, kept from one mail to the next. Knows envelopes and bytes, not what a mail says."""

import contextlib
import socket
import time
from collections.abc import AsyncIterator
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as ASCII_POLICY
from email.policy import SMTPUTF8 as UTF8_POLICY
from typing import Final, NamedTuple

from aiosmtplib import SMTP, SMTPDataError, SMTPException, SMTPRecipientRefused

from soms.agents.provider import Provider
from soms.errors import FailedPrecondition, Unavailable

# servers close connections that rest for long
IDLE_SECONDS: Final = 20.0
REPLY_SECONDS: Final = 8.0
PERMANENT: Final = 500


class Idle(NamedTuple):
    """A connection that rests, since when."""

    client: SMTP
    since: float


class MailServer:
    """As many connections as are used at a time."""

    def __init__(self, server: Provider) -> None:
        """Connect when there is something to send."""
        self._server = server
        self._idle: list[Idle] = []

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[SMTP]:
        """One of them, for one mail; it is closed where that fails in any way, for nobody knows then what it is at.

        Raises FailedPrecondition and Unavailable with the server's words where it refuses the recipient or the mail; SMTPException and
        OSError for all else.
        """
        client = await self._free()
        try:
            yield client
        except (SMTPRecipientRefused, SMTPDataError) as refusal:
            client.close()
            said = f"{refusal.code} {refusal.message}"
            raise (FailedPrecondition(said) if refusal.code >= PERMANENT else Unavailable(said)) from refusal
        except BaseException:
            client.close()
            raise
        self._idle.append(Idle(client, time.monotonic()))

    async def leave(self) -> None:
        """Say good-bye to the server."""
        while self._idle:
            client = self._idle.pop().client
            with contextlib.suppress(SMTPException, OSError):
                await client.quit(timeout=1)
            client.close()

    async def _free(self) -> SMTP:
        while self._idle:
            client, since = self._idle.pop()
            if client.is_connected and time.monotonic() - since < IDLE_SECONDS:
                return client
            client.close()
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
        return client


async def address(client: SMTP, sender: Address, recipient: Address) -> None:
    """Tell from whom and to whom. Raises SMTPException and OSError."""
    utf8 = not recipient.addr_spec.isascii()
    if utf8 and not client.supports_extension("smtputf8"):
        raise FailedPrecondition(f"the mail server takes no such address: {recipient.addr_spec}")
    options, encoding = (["SMTPUTF8"], "utf-8") if utf8 else ([], "ascii")
    await client.mail(sender.addr_spec, options=options, encoding=encoding)
    await client.rcpt(recipient.addr_spec, encoding=encoding)


def flat(message: EmailMessage, recipient: Address) -> bytes:
    """The message as it travels: seven bits, but for addresses that need more (RFC 6531)."""
    return message.as_bytes(policy=ASCII_POLICY if recipient.addr_spec.isascii() else UTF8_POLICY)
