"""Links by which a reader stops what a channel brings them, without signing in (RFC 8058): made by who sends, read by the gateway.

Whoever has the link can do that and nothing else; it holds for good, as mails are kept for long.
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final, NamedTuple
from uuid import UUID

from soms.config import Settings
from soms.errors import NotFound

SIGNATURE_BYTES: Final = 16
PATH: Final = "/unsubscribe/"


class OptOut(NamedTuple):
    """Who wants no more of a channel (`email`, `sms`)."""

    user_id: UUID
    channel: str


class OptOuts:
    """Makes and reads links with one secret, the same in all processes."""

    def __init__(self, settings: Settings) -> None:
        """Have the secret made where it is missing."""
        self._secret = settings.secret("unsubscribe").encode()
        self._url = settings.public_url.rstrip("/")

    def link(self, wish: OptOut) -> str:
        """The address of a page that asks once more, and that takes a POST for an answer."""
        said = wish.user_id.bytes + wish.channel.encode()
        return f"{self._url}{PATH}{base64.urlsafe_b64encode(self._sign(said) + said).rstrip(b'=').decode()}"

    def read(self, token: str) -> OptOut:
        """What the last part of a link says; raises NotFound where it is not of our making."""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise NotFound from None
        said = raw[SIGNATURE_BYTES:]
        if not hmac.compare_digest(raw[:SIGNATURE_BYTES], self._sign(said)):
            raise NotFound
        return OptOut(UUID(bytes=said[:16]), said[16:].decode())

    def _sign(self, said: bytes) -> bytes:
        return hmac.digest(self._secret, said, hashlib.sha256)[:SIGNATURE_BYTES]
