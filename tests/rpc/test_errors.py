"""The error table, both ways."""

from typing import Any
from uuid import UUID

import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, ValidationError

from soms import errors
from soms.errors import SomsError
from soms.rpc.codec import Unreadable
from soms.rpc.details import StatusDetails
from soms.rpc.errors import ERRORS, STATUSES, from_wire, refused, to_wire
from soms.values import Value

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, SomsError)]
PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.from_regex(r"[a-z_]{1,10}", fullmatch=True).filter(
    lambda name: name not in ("reason", "message", "errors", "self", "retry_after")
)


def across(error: BaseException, room_bytes: int = 64 * 1024) -> SomsError:
    """The error as it arrives on the other side."""
    sent = to_wire(error, room_bytes)
    details = StatusDetails().decode(sent.status, sent.message, StatusDetails().encode(sent.status, sent.message, sent.details or []))
    return from_wire(GRPCError(sent.status, sent.message, details))


def test_table_is_complete() -> None:
    """Every exception of the tree has a status of its own, and each of these leads back."""
    assert set(STATUSES) == set(KINDS)
    assert len(set(STATUSES.values())) == len(STATUSES)
    assert {kind: ERRORS[status] for kind, status in STATUSES.items()} == {kind: kind for kind in KINDS}


@given(st.sampled_from(KINDS), st.text(max_size=50), st.none() | st.floats(0, 1e6), st.dictionaries(NAMES, PLAIN, max_size=4))
def test_errors_arrive_as_they_were_raised(kind: type[SomsError], message: str, retry_after: float | None, details: dict[str, Any]) -> None:
    """Class, reason, sentence, details and the time to wait survive the wire."""
    raised = kind(message, reason="some_reason", retry_after=retry_after, **details)

    arrived = across(raised)

    assert type(arrived) is kind
    assert (arrived.reason, arrived.message) == ("some_reason", raised.message)
    assert arrived.details == details
    assert arrived.retry_after == (None if retry_after is None else pytest.approx(retry_after, abs=1e-6))


def test_errors_derived_from_the_tree_arrive_as_their_kind() -> None:
    """A finer exception of the domain arrives as the class of the tree it belongs to, its reason kept."""

    class OutOfStock(errors.FailedPrecondition):
        reason = "insufficient_stock"

    arrived = across(OutOfStock(short=[{"sku": "a", "requested": 2, "available": 1}]))

    assert type(arrived) is errors.FailedPrecondition
    assert arrived.reason == "insufficient_stock"
    assert arrived.details == {"short": [{"sku": "a", "requested": 2, "available": 1}]}


def test_foreign_clients_get_standard_details() -> None:
    """Field errors, reason and the time to wait stand where google.rpc says."""
    raised = errors.InvalidArgument.field("lines.0.quantity", "greater_than_equal", "must be 1 or more")
    raised.retry_after = 1.5

    info, retry, bad = to_wire(raised).details

    assert (info.reason, info.domain) == ("validation_failed", "soms")
    assert retry.retry_delay.ToMilliseconds() == 1500
    assert [(v.field, v.reason, v.description) for v in bad.field_violations] == [
        ("lines.0.quantity", "greater_than_equal", "must be 1 or more")
    ]
    assert [type(detail) for detail in (info, retry, bad)] == [ErrorInfo, RetryInfo, BadRequest]


def test_unexpected_errors_say_nothing() -> None:
    """What nobody foresaw arrives as internal, without a word of it."""
    arrived = across(RuntimeError("password=hunter2"))

    assert type(arrived) is SomsError
    assert (arrived.reason, arrived.message) == ("internal", "Internal Server Error")


def test_large_details_are_left_out_and_the_reason_stays() -> None:
    """Details that no header list has room for go, the largest first; a client that takes more gets them all."""
    short = [{"sku": f"SKU-{number:05}", "requested": 10, "available": 0} for number in range(1000)]
    raised = errors.FailedPrecondition(reason="insufficient_stock", short=short, hint="small")

    assert across(raised, room_bytes=8192).details == {"hint": "small"}
    assert across(raised, room_bytes=8192).reason == "insufficient_stock"
    assert across(raised, room_bytes=256 * 1024).details == {"short": short, "hint": "small"}


def test_long_sentences_are_cut() -> None:
    """A sentence has an end."""
    assert len(across(errors.NotFound("x" * 10_000)).message) == 500


def test_ids_in_details_become_text() -> None:
    """Values that JSON does not know are written as text."""
    number = UUID(int=7)

    assert across(errors.NotFound(order_id=number)).details == {"order_id": str(number)}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError(), errors.DeadlineExceeded),
        (StreamTerminatedError("gone"), errors.Unavailable),
        (ConnectionRefusedError(), errors.Unavailable),
        (GRPCError(Status.UNIMPLEMENTED), SomsError),
        (GRPCError(Status.UNKNOWN, "whatever"), SomsError),
        (GRPCError(Status.OUT_OF_RANGE), errors.InvalidArgument),
        (GRPCError(Status.CANCELLED), errors.Unavailable),
        (GRPCError(Status.NOT_FOUND, "by a foreign server"), errors.NotFound),
        (Unreadable("an answer nobody can read"), SomsError),
        (ValueError("Value out of range: 4294967296"), errors.InvalidArgument),
    ],
)
def test_broken_calls_have_their_exception(error: BaseException, kind: type[SomsError]) -> None:
    """Deadlines, broken connections and foreign statuses become exceptions of the tree too."""
    assert type(from_wire(error)) is kind


def test_foreign_details_are_passed_over() -> None:
    """Details of another domain, values that are no JSON and plain garbage do no harm."""
    foreign = GRPCError(Status.ABORTED, "x", [ErrorInfo(reason="OTHER", domain="example.com")])
    unquoted = GRPCError(Status.ABORTED, "x", [ErrorInfo(reason="in_flight", domain="soms", metadata={"a": "{not json"})])

    assert from_wire(foreign).reason == "stale_version"
    assert from_wire(unquoted).details == {"a": "{not json"}
    assert StatusDetails().decode(Status.ABORTED, None, b"\xff\xff\xff") == []


def test_any_detail_can_be_told() -> None:
    """Details that JSON does not hold, such as numbers beyond 64 bits, keep no error from being told."""
    assert across(errors.NotFound(number=2**70, pairs={1: "a"})).details == {"number": 2**70, "pairs": {"1": "a"}}


class Line(Value):
    """A line of an order."""

    quantity: int = Field(ge=1)


class Wanted(Value):
    """A request."""

    lines: list[Line]
    password: str = Field(min_length=10)
    user_id: UUID


def test_refused_values_name_field_code_and_reason_but_never_the_input() -> None:
    """What pydantic refuses becomes errors of field, code and message; what was sent is not repeated."""
    sent: dict[str, Any] = {"lines": [{"quantity": 0}, {"quantity": 1, "price": 7}], "password": "hunter2", "user_id": "zsecret"}
    with pytest.raises(ValidationError) as caught:
        Wanted(**sent)

    found = refused(caught.value)

    assert [(item["field"], item["code"]) for item in found.details["errors"]] == [
        ("lines.0.quantity", "greater_than_equal"),
        ("lines.1.price", "unknown_field"),
        ("password", "string_too_short"),
        ("user_id", "uuid_parsing"),
    ]
    assert across(caught.value).details == found.details
    assert not any(secret in str(found.details) + found.message for secret in ("hunter2", "zsecret", "`z`"))


def test_own_words_of_a_validator_are_kept() -> None:
    """The sentence of a ValueError stands without pydantic's preface."""

    class Closed(BaseModel):
        name: str

        def model_post_init(self, _context: object) -> None:
            raise ValueError("must not be there")

    with pytest.raises(ValidationError) as caught:
        Closed(name="x")

    assert refused(caught.value).details["errors"][0]["message"] == "must not be there"
