"""Which addresses strangers may have us call."""

import asyncio
import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soms.agents import target
from soms.agents.target import check, public
from soms.errors import InvalidArgument

PRIVATE = """
127.0.0.1 127.255.255.254 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 0.0.0.0 100.64.0.1 169.254.169.254 100.100.100.200 192.0.0.192
168.63.129.16 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 198.18.0.1 192.0.2.1 203.0.113.7 192.88.99.1
::1 :: fe80::1 fe80::1%eth0 fc00::1 fd00:ec2::254 fec0::1 ff02::1 ff0e::1 2001:db8::1 2001::1 2002:7f00:1:: 3fff::1 64:ff9b:1::1 100::1
::ffff:127.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 5f00::1 4000::1
""".split()  # noqa: SIM905 - a table
PUBLIC = "8.8.8.8 1.1.1.1 93.184.215.14 172.32.0.1 2606:4700::1111 2a00:1450::1 ::ffff:8.8.8.8 64:ff9b::808:808".split()  # noqa: SIM905 - a table


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public(address: str) -> None:
    """Private, loopback, link-local, multicast, reserved, metadata of clouds, and all of these in the clothes of IPv6."""
    assert not public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public(address: str) -> None:
    """All else, and public IPv4 addresses in the clothes of IPv6."""
    assert public(address)


@given(st.ip_addresses())
def test_any_address_is_one_or_the_other(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """No address is too odd to be judged, and none is public that the tables of Python call private."""
    assert not (public(str(address)) and (address.is_private or address.is_multicast or address.is_loopback))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f000001", "0", "[::1]", "[::ffff:10.0.0.1]", "169.254.169.254"],
)
async def test_private_targets_are_refused(host: str) -> None:
    """Whoever names a private address is told, however it is written."""
    with pytest.raises(InvalidArgument) as refusal:
        await check(f"https://{host}/hook", private=False)

    assert refusal.value.details["errors"][0] | {"message": ""} == {"field": "url", "code": "not_public", "message": ""}
    await check(f"https://{host}/hook", private=True)


async def test_plain_http_is_refused() -> None:
    """Events go encrypted, unless private addresses are allowed."""
    with pytest.raises(InvalidArgument) as refusal:
        await check("http://8.8.8.8/", private=False)

    assert refusal.value.details["errors"][0]["code"] == "https_required"
    await check("http://8.8.8.8/", private=True)


@pytest.mark.parametrize(
    ("found", "refused"),
    [(["8.8.8.8"], False), (["8.8.8.8", "10.0.0.1"], True), (OSError(), False), (UnicodeError(), False), (None, False)],
    ids=["public", "one of two is private", "unknown", "no name", "no answer"],
)
async def test_names_are_looked_up(monkeypatch: pytest.MonkeyPatch, found: Any, refused: bool) -> None:
    """A name that leads to any private address is refused; one that leads nowhere yet is not, nor does anybody wait long for it."""

    async def known(*_: Any, **__: Any) -> Any:
        if found is None:
            await asyncio.Event().wait()
        if isinstance(found, Exception):
            raise found
        return [(0, 0, 0, "", (address, 443)) for address in found]

    monkeypatch.setattr(target, "LOOKUP_SECONDS", 0.05)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", known)
    if not refused:
        await check("https://hook.example/", private=False)
        return
    with pytest.raises(InvalidArgument):
        await check("https://hook.example/", private=False)
