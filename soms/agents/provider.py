"""Where messages are handed in: a mail server or a provider of text messages, as its setting says. Knows no protocol."""

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from soms.errors import InvalidArgument


class Provider(NamedTuple):
    """Its address, whom it knows us as, and who the messages come from; what the setting leaves out is empty or 0."""

    scheme: str
    host: str
    port: int
    user: str
    password: str
    sender: str


def provider(address: str, setting: str, *schemes: str) -> Provider:
    """Read `[scheme://][user:password@]host[:port][?from=sender]`; the first scheme is meant where none is said.

    Only %-signs are decoded, so that a + is a plus. Raises InvalidArgument naming the `setting`.
    """
    try:
        url = urlsplit(address if "://" in address else f"{schemes[0]}://{address}")
        name, _, sender = url.query.partition("=")
        if url.scheme in schemes and url.hostname and name in {"", "from"}:
            return Provider(
                url.scheme, url.hostname, url.port or 0, unquote(url.username or ""), unquote(url.password or ""), unquote(sender)
            )
    except ValueError:  # a port that is none
        pass
    raise InvalidArgument(f"{setting} is not like {schemes[-1]}://user:password@host:port?from=sender")
