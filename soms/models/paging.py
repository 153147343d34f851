"""Keyset pagination: a page token is the position of the last row seen, so that pages neither skip nor repeat rows."""

import base64
import binascii
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import orjson
from tortoise.expressions import Q
from tortoise.models import Model
from tortoise.queryset import QuerySet

from soms.errors import InvalidArgument
from soms.models.database import outages

M = TypeVar("M", bound=Model)

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
    except (ValueError, TypeError, AttributeError, binascii.Error) as cause:
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


async def newest(query: QuerySet[M], page_size: int, page_token: str) -> tuple[list[M], str]:
    """A page of models that have `created_at` and `id`, newest first, and the token of the next. Raises InvalidArgument."""
    limit = size(page_size)
    if after := position(page_token, _moment, UUID):
        query = query.filter(Q(created_at__lt=after[0]) | Q(created_at=after[0], id__lt=after[1]), created_at__lte=after[0])
    with outages():
        rows: list[Any] = await query.order_by("-created_at", "-id").limit(limit + 1)
    if len(rows) <= limit:
        return rows, ""
    return rows[:limit], token(rows[limit - 1].created_at.isoformat(), rows[limit - 1].id)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return moment
