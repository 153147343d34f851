"""Cursors of lists: a service's page token, signed for the one list, its filters and the account it was made for."""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from soms.errors import InvalidArgument

SIGNATURE_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Seal:
    """Signs and checks cursors with one secret, the same in all gateways."""

    secret: bytes

    def close(self, token: str, scope: str) -> str:
        """The cursor that stands for the page `token` of the list `scope`."""
        return base64.urlsafe_b64encode(self._sign(token, scope) + token.encode()).rstrip(b"=").decode()

    def open(self, cursor: str, scope: str) -> str:
        """The page token in `cursor`; raises InvalidArgument if it was altered, made up, or made for another list."""
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            token = raw[SIGNATURE_BYTES:].decode()
        except (binascii.Error, ValueError):
            raise _refusal() from None
        if not hmac.compare_digest(raw[:SIGNATURE_BYTES], self._sign(token, scope)):
            raise _refusal()
        return token

    def _sign(self, token: str, scope: str) -> bytes:
        return hmac.digest(self.secret, f"{scope}\n{token}".encode(), hashlib.sha256)[:SIGNATURE_BYTES]


def _refusal() -> InvalidArgument:
    return InvalidArgument("cursor: not one of this list", reason="invalid_parameter")
