"""What holds for any input whatever: parsing, checking, cursors, rates."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as some
from pydantic import TypeAdapter

from soms.errors import InvalidArgument
from soms.web.body import parse
from soms.web.cursors import Seal
from soms.web.limits import RateLimit
from soms.web.order import NewOrder
from soms.web.order_shapes import merged
from soms.web.validation import checked

SCALARS = some.none() | some.booleans() | some.integers(-(2**53), 2**53) | some.floats(allow_nan=False, allow_infinity=False) | some.text()
JSON = some.recursive(
    SCALARS, lambda inner: some.lists(inner, max_size=5) | some.dictionaries(some.text(), inner, max_size=5), max_leaves=20
)
LINES = some.lists(some.fixed_dictionaries({"sku": some.sampled_from("abcde"), "quantity": some.integers(1, 1000)}), min_size=1)
ORDER: TypeAdapter[Any] = TypeAdapter(NewOrder)


def refusal(function: Callable[..., Any], *arguments: Any) -> InvalidArgument | None:
    """The refusal that a call ends in, if any; other errors go through."""
    try:
        function(*arguments)
    except InvalidArgument as error:
        return error
    return None


@given(JSON)
def test_sound_json_means_what_it_says(value: Any) -> None:
    """Strictness changes no value; what a database cannot keep is the one exception."""
    text = orjson.dumps(value)
    if b"\\u0000" in text.replace(b"\\\\", b""):
        with pytest.raises(InvalidArgument):
            parse(text)
    else:
        assert parse(text) == value


@given(some.binary() | JSON.map(lambda value: orjson.dumps(value)[:-1]))
def test_no_bytes_break_the_parser(body: bytes) -> None:
    """Whatever comes is either a value or malformed."""
    error = refusal(parse, body)

    assert error is None or error.reason == "malformed_body"


@given(JSON)
def test_no_value_breaks_the_check(value: Any) -> None:
    """Whatever was meant, it is an order or it is told what is wrong with it."""
    error = refusal(checked, ORDER, value)

    assert error is None or error.details["errors"]


@given(LINES)
def test_merging_keeps_the_sum(lines: Any) -> None:
    """No piece is lost or made up, no SKU comes twice, and the order of lines does not matter."""
    found = merged(lines)

    assert sum(line.quantity for line in found) == sum(line["quantity"] for line in lines)
    assert [line.sku for line in found] == sorted({line["sku"] for line in lines})
    assert found == merged(lines[::-1])


@given(some.text(), some.text(), some.text())
def test_cursors_open_with_their_own_list_alone(token: str, scope: str, other: str) -> None:
    """A cursor gives back its token for its list; for any other list it is void."""
    seal = Seal(b"secret")
    cursor = seal.close(token, scope)

    assert seal.open(cursor, scope) == token
    if other != scope:
        with pytest.raises(InvalidArgument):
            seal.open(cursor, other)


@given(some.text())
def test_no_text_is_a_cursor_by_chance(made_up: str) -> None:
    """Nothing opens that was not closed here."""
    with pytest.raises(InvalidArgument):
        Seal(b"secret").open(made_up, "list")


@given(some.lists(some.floats(0, 120), min_size=1, max_size=200).map(sorted), some.integers(1, 50))
def test_no_rhythm_outruns_the_rate(times: list[float], limit: int) -> None:
    """In any stretch of time no more are allowed than a full bucket and what trickled in since."""
    clock = iter(times)
    rate = RateLimit(limit, lambda: next(clock))
    allowed = [now for now in times if rate.take("ada").allowed]

    for first in range(0, len(allowed), 7):
        assert len(allowed) - first <= limit + (allowed[-1] - allowed[first]) * limit / 60 + 1e-6
