"""Keyset pagination: a page token is the position of the last row seen, so that pages neither skip nor repeat rows."""

import base64
import binascii
from collections.abc import Callable
from typing import Any

import orjson

from soms.errors import InvalidArgument

DEFAULT_SIZE = 20
MAXIMUM_SIZE = 100


def size(asked: int) -> int:
    """Rows of a page: 1 to 100, 0 means 20. Raises InvalidArgument."""
    if not 0 <= asked <= MAXIMUM_SIZE:
        raise InvalidArgument(f"a page has 1 to {MAXIMUM_SIZE} items", reason="invalid_parameter", parameter="limit")
    return asked or DEFAULT_SIZE


def position(token: str, *kinds: Callable[[Any], Any]) -> list[Any] | None:
    """The values of the last row seen, one of each kind, or None for the first page. Raises InvalidArgument for a token not ours."""
    if not token:
        return None
    try:
        values = orjson.loads(base64.urlsafe_b64decode(token))
        if not isinstance(values, list):
            raise TypeError(token)  # noqa: TRY301 - one refusal for all that is wrong
        return [value if kind is str else kind(value) for kind, value in zip(kinds, values, strict=True)]
    except (ValueError, TypeError, binascii.Error) as cause:
        raise InvalidArgument("the page token is not one of ours", reason="invalid_parameter", parameter="cursor") from cause


def token(*values: Any) -> str:
    """The page token of a row's sort values."""
    return base64.urlsafe_b64encode(orjson.dumps([str(value) if not isinstance(value, int) else value for value in values])).decode()


def page(rows: list[Any], limit: int, *columns: str) -> tuple[list[Any], str]:
    """Cut rows fetched with `limit + 1` to a page, and give the token of the next (empty at the end)."""
    if len(rows) <= limit:
        return rows, ""
    last = rows[limit - 1]
    return rows[:limit], token(*(last[column].isoformat() if hasattr(last[column], "isoformat") else last[column] for column in columns))
