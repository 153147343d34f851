"""What a webhook may be asked to be: which addresses it may have and which events it can hear. Knows no network."""

import ipaddress
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from soms.envelope import KINDS
from soms.events import UserPasswordReset

ALL: Final = "*"
# what lets its reader into an account is nobody else's business
HEARD: Final = tuple(sorted(KINDS.keys() - {UserPasswordReset.type}))
# ASCII, as HTTP wants it; no user and password before the host, which belong into no log, and no fragment
LABEL: Final = "[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
ADDRESS: Final = rf"^https?://({LABEL}(\.{LABEL})*\.?|\[[0-9A-Fa-f:.]+\])(:[0-9]{{1,5}})?([/?][!\"$-\[\]-~]*)?$"
LONGEST_NAME: Final = 253
PORTS: Final = range(1, 1 << 16)


def _address(text: str) -> str:
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
        if ":" in host:
            ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError("must be an address with a host and a port that can be") from None
    if len(host) > LONGEST_NAME or (port is not None and port not in PORTS):
        raise ValueError("must be an address with a host and a port that can be")
    return text


def _heard(name: str) -> str:
    if name not in {ALL, *HEARD}:
        raise ValueError("must be a type of event that can be heard, or *")
    return name


def _once(names: list[str]) -> list[str]:
    return list(dict.fromkeys(names))


Url = Annotated[
    str,
    StringConstraints(max_length=2000, pattern=ADDRESS),
    Field(json_schema_extra={"format": "uri"}, description="Where events are posted to; https, and a host on the public Internet."),
    AfterValidator(_address),
]
EventType = Annotated[str, Field(json_schema_extra={"enum": [ALL, *HEARD]}), AfterValidator(_heard)]
EventTypes = Annotated[
    list[EventType], Field(min_length=1, max_length=len(HEARD) + 1, description="Types of events, or * for all."), AfterValidator(_once)
]
