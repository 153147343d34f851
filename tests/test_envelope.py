"""Reading records: what is known, what is newer than this reader, and what nobody can read."""

import datetime as dt
import hashlib
from uuid import UUID

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soms.envelope import KINDS, UNREADABLE, Envelope, read
from soms.errors import InvalidArgument
from soms.events import StockLow

ID = "0199c1a0-0000-7000-8000-000000000001"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STOCK = {"version": 1, "sku": "a", "name": "A", "available": 2, "low_threshold": 3}
HEADERS: dict[str, bytes | None] = {
    "ce_id": ID.encode(),
    "ce_type": StockLow.type.encode(),
    "ce_source": b"/soms/product",
    "ce_time": b"2026-02-03T04:05:06.789+00:00",
    "traceparent": TRACE.encode(),
}


def record(key: bytes | None = b"a", value: bytes | None = orjson.dumps(STOCK), **headers: bytes | None) -> Envelope:
    """Read a record that differs from a good one in this."""
    return read((HEADERS | headers).items(), key, value)


def test_a_record_becomes_an_event() -> None:
    """With its id, type, time and trace, and the digest of its value."""
    value = orjson.dumps(STOCK)

    assert record() == Envelope(
        id=UUID(ID),
        type="soms.product.stock_low.v1",
        time=dt.datetime(2026, 2, 3, 4, 5, 6, 789_000, tzinfo=dt.UTC),
        key="a",
        digest=hashlib.sha256(value).digest(),
        event=StockLow(version=1, sku="a", name="A", available=2, low_threshold=3),
        traceparent=TRACE,
    )


def test_what_is_newer_is_ignored() -> None:
    """Fields and headers that are not known do no harm, and a type that is not known is no event."""
    assert record(value=orjson.dumps(STOCK | {"colour": "red"}), ce_colour=b"\xff").event == record().event
    assert record(ce_type=b"soms.product.stock_low.v2").event is None
    assert record(ce_type=b"soms.parcel.lost.v1", value=b"not JSON").event is None


def test_a_trace_that_is_none_is_left_out() -> None:
    """A bad traceparent does not make an event unreadable."""
    assert record(traceparent=b"00-xyz").traceparent is None
    assert record(traceparent=None).event == record().event


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ce_id": None}, "ce_id is missing"),
        ({"ce_id": b"7"}, "ce_id is no UUID"),
        ({"ce_type": None}, "ce_type is missing"),
        ({"ce_type": b"\xff"}, "ce_type is missing or no text"),
        ({"ce_type": b"SOMS order!"}, "is no type"),
        ({"ce_time": None}, "ce_time is missing"),
        ({"ce_time": b"2026-02-03T04:05:06"}, "no time with zone"),
        ({"key": None}, "no key or no value"),
        ({"value": None}, "no key or no value"),
        ({"value": b""}, "the value is no soms.product.stock_low.v1"),
        ({"value": b"null"}, "should be an object"),
        ({"value": b"[" * 100_000}, "recursion limit"),
        ({"value": orjson.dumps(STOCK | {"available": 1.5})}, "available: Input should be a valid integer"),
        ({"value": b'{"version": NaN}'}, "version"),
        ({"value": orjson.dumps({"version": 1})}, "sku: Field required"),
        ({"value": orjson.dumps(STOCK)[:-5]}, "Invalid JSON"),
        ({"key": b"b"}, "the key is not that of the value"),
        ({"key": b"\xff"}, "the key is not that of the value"),
    ],
)
def test_what_nobody_can_read(change: dict[str, bytes | None], message: str) -> None:
    """Each is refused as unreadable, with what is wrong."""
    with pytest.raises(InvalidArgument, match=message) as refused:
        record(**change)  # type: ignore[arg-type]
    assert refused.value.reason == UNREADABLE
    assert len(refused.value.message) < 1000


@settings(max_examples=500, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*HEADERS, "x"]), st.none() | st.binary(max_size=60)),
    st.sampled_from(sorted(KINDS)),
    st.none() | st.binary(max_size=20),
    st.none() | st.binary(max_size=60) | st.recursive(st.none() | st.floats() | st.text(), st.lists, max_leaves=5).map(orjson.dumps),
)
def test_any_record_is_read_or_refused(changes: dict[str, bytes | None], kind: str, key: bytes | None, value: bytes | None) -> None:
    """Whatever the bytes are, nothing else comes out."""
    try:
        found = read(({**HEADERS, "ce_type": kind.encode()} | changes).items(), key, value)
    except InvalidArgument as refused:
        assert refused.reason == UNREADABLE  # noqa: PT017 - both ways out are right
    else:
        assert found.event is None or found.event.type == found.type
