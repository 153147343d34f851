"""Which addresses of the network strangers may have us call: public ones alone. Knows nothing of what is sent there.

A name may lead elsewhere each time it is asked for (DNS rebinding), so what counts is the address that a socket is made for.
"""

import asyncio
import ipaddress
import socket
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp

from soms.errors import InvalidArgument

LOOKUP_SECONDS: Final = 2.0
# what is public by the tables of `ipaddress` and yet no place of others: RFC 6890, RFC 7526, RFC 9637, and Azure's platform
NOT_PUBLIC: Final = tuple(
    map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "2001::/23", "2002::/16", "3fff::/20"))
)
UNICAST: Final = ipaddress.IPv6Network("2000::/3")
# RFC 6052: an IPv4 address in the clothes of IPv6, as networks without IPv4 write it
TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")


class NotPublicError(OSError):
    """A name led to an address that is not public; it is not told which one."""


def public(address: str) -> bool:
    """Whether an IP address belongs to the public Internet: not private, loopback, link-local (metadata of clouds), multicast, reserved."""
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        ip = ip.ipv4_mapped or (ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF) if ip in TRANSLATED else ip)
    if ip.version == UNICAST.version and ip not in UNICAST:
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in NOT_PUBLIC)


def opened(found: tuple[Any, ...]) -> socket.socket:
    """A socket for what a look-up found, in the way of aiohttp's `socket_factory`. Raises NotPublicError."""
    family, kind, protocol, _, (host, *_) = found
    if not public(host):
        raise NotPublicError("the address is not public")
    return socket.socket(family, kind, protocol)


def connector(*, private: bool) -> aiohttp.TCPConnector:
    """Connections for one request each, to public addresses alone unless `private` ones are allowed."""
    return aiohttp.TCPConnector(socket_factory=None if private else opened, force_close=True, use_dns_cache=False, limit=0)


async def check(url: str, *, private: bool) -> None:
    """Tell whoever names an address what will not work. Raises InvalidArgument.

    A name that nobody knows may be known later; every connection is checked again anyway.
    """
    if private:
        return
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise InvalidArgument.field("url", "https_required", "must begin with https://")
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port or 443, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return
    if not all(public(str(place[0])) for *_, place in found):
        raise InvalidArgument.field("url", "not_public", "must lead to the public Internet")
