"""Reading queries: each parameter known, sent once, and of its type to the letter. Values arrive as text."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from aiohttp import web
from pydantic import BeforeValidator, StringConstraints, TypeAdapter

from soms.errors import InvalidArgument
from soms.web.validation import checked

RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]{0,8})")


def read(request: web.Request, adapter: TypeAdapter[Any] | None) -> tuple[Mapping[str, Any], Mapping[str, str]]:
    """The query, checked and as it was sent; raises InvalidArgument (`invalid_parameter`)."""
    if not request.query_string:
        return {}, {}
    sent = request.query
    if twice := {name for name in sent if len(sent.getall(name)) > 1}:
        raise InvalidArgument(f"{min(twice)[:100]}: once only", reason="invalid_parameter")
    if adapter is None:
        raise InvalidArgument("this takes no query parameters", reason="invalid_parameter")
    raw = dict(sent)
    return checked(adapter, raw, reason="invalid_parameter"), raw


def number(text: str) -> int:
    """A whole number in digits; raises ValueError."""
    if not NUMBER.fullmatch(text):
        raise ValueError("must be a whole number")
    return int(text)


def _flag(text: str) -> bool:
    if text not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text == "true"


def _time(text: str) -> datetime:
    if not RFC_3339.fullmatch(text.upper()):
        raise ValueError("must be a time with its zone as RFC 3339 says, such as 2026-11-22T10:00:00Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("must be a time between the years 1 and 9999") from None


Flag = Annotated[bool, BeforeValidator(_flag)]
Time = Annotated[datetime, BeforeValidator(_time)]
Identifier = Annotated[str, StringConstraints(to_lower=True, pattern=r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$")]
