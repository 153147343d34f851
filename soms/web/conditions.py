"""Versions as entity tags: `ETag`, `If-Match` and `If-None-Match` (RFC 9110 §8.8.3, §13.1)."""

import re
from typing import Final

from aiohttp import web

from soms.errors import InvalidArgument

VERSION: Final = re.compile(r'"([1-9][0-9]{0,17})"')
TAG: Final = re.compile(r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"')
NO_VERSION: Final = 2**63 - 1


def entity_tag(version: int) -> str:
    """The tag of an object in this version."""
    return f'"{version}"'


def if_match(request: web.Request) -> int | None:
    """The version that must stand for the change to happen; None where any will do; raises InvalidArgument.

    A tag that we never gave out, such as a weak one, stands for a version that no object ever reaches.
    """
    headers = request.headers.getall("If-Match", [])
    if not headers or headers == ["*"]:
        return None
    if len(headers) == 1 and (known := VERSION.fullmatch(headers[0])):
        return int(known[1])
    if len(headers) == 1 and TAG.fullmatch(headers[0]):
        return NO_VERSION
    raise InvalidArgument("If-Match: one entity tag or *", reason="invalid_parameter")


def unchanged(request: web.Request, version: int) -> bool:
    """Whether the client of a GET says that it has this version already."""
    tags = ",".join(request.headers.getall("If-None-Match", [])).split(",")
    return any(tag.strip().removeprefix("W/") in {"*", entity_tag(version)} for tag in tags)
