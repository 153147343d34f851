"""The upb codec against betterproto2's own, over every message of the contract and every kind of field."""

import importlib
import runpy
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import betterproto2
import pytest
from grpclib.health.v1.health_pb2 import HealthCheckRequest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soms.rpc.codec import Codec, Unreadable
from soms.rpc.gen.soms import v1

CODEC = Codec()
GENERATE = runpy.run_path(str(Path(__file__).parents[2] / "protos/generate.py"))["generate"]
TIMES = st.datetimes(timezones=st.just(UTC))
SPANS = st.integers(0, 10**15).map(lambda number: timedelta(microseconds=number))


def integers(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    """Integers of a field of so many bits, its bounds among them."""
    least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    return st.integers(least, most) | st.sampled_from([least, most, 0])


SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "double": st.floats(allow_nan=False),
    "float": st.floats(width=32, allow_nan=False),
    "bool": st.booleans(),
    "string": st.text(max_size=20),
    "bytes": st.binary(max_size=20),
    **{f"{kind}32": integers(32, signed=kind not in ("uint", "fixed")) for kind in ("int", "uint", "sint", "fixed", "sfixed")},
    **{f"{kind}64": integers(64, signed=kind not in ("uint", "fixed")) for kind in ("int", "uint", "sint", "fixed", "sfixed")},
}
WRAPPED = {
    "Timestamp": TIMES,
    "Duration": SPANS,
    **{
        f"{name}Value": SCALARS[name.lower()]
        for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
    },
}


def values(meta: betterproto2.FieldMetadata, cls: Any) -> st.SearchStrategy[Any]:
    """Values of one field."""
    if meta.proto_type == "enum":
        return st.sampled_from(list(cls)) | st.integers(100, 2**31 - 1).map(cls)
    if meta.unwrap:
        return WRAPPED[meta.unwrap().__name__]
    return messages(cls) if meta.proto_type == "message" else SCALARS[meta.proto_type]


@st.composite
def messages(draw: st.DrawFn, message_type: Any) -> Any:
    """Messages of a type; of a group of alternatives at most one is set."""
    meta, chosen, fields = message_type._betterproto, set(), {}
    for name, field in meta.meta_by_field_name.items():
        if draw(st.booleans()) or (field.group and field.group in chosen):
            continue
        chosen.add(field.group)
        cls = meta.cls_by_field[name]
        if field.map_meta:
            kind = values(field.map_meta[1], meta.cls_by_field[f"{name}.value"])
            fields[name] = draw(st.dictionaries(SCALARS[field.map_meta[0].proto_type], kind, max_size=3))
        else:
            fields[name] = draw(st.lists(values(field, cls), max_size=3) if field.repeated else values(field, cls))
    return message_type(**fields)


def types_of(module: ModuleType) -> list[Any]:
    """The message types of a generated module."""
    found = [getattr(module, name) for name in module.__all__]
    return [kind for kind in found if isinstance(kind, type) and issubclass(kind, betterproto2.Message)]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The module generated from kinds.proto."""
    folder = tmp_path_factory.mktemp("stubs")
    (folder / "kinds_stubs").mkdir()
    GENERATE(folder / "kinds_stubs", Path(__file__).parent / "kinds")
    sys.path.insert(0, str(folder))
    yield importlib.import_module("kinds_stubs.kinds.v1")
    sys.path.remove(str(folder))


def agrees(message: Any) -> None:
    """Both codecs read what either writes, as the same message."""
    kind = type(message)
    ours, theirs = CODEC.encode(message, kind), bytes(message)

    assert kind.parse(ours) == message
    assert CODEC.decode(theirs, kind) == message
    assert CODEC.decode(ours, kind) == message


@pytest.mark.parametrize("message_type", types_of(v1), ids=lambda kind: kind.__name__)
def test_contract_agrees_with_betterproto(message_type: Any) -> None:
    """Every message of the contract is written and read as betterproto2 itself does."""

    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(messages(message_type))
    def every(message: Any) -> None:
        agrees(message)

    every()


@pytest.mark.parametrize("name", ["Scalars", "Optionals", "Many", "Maps", "Known", "Choice"])
def test_every_kind_of_field_agrees_with_betterproto(kinds: ModuleType, name: str) -> None:
    """Every kind of field is written and read as betterproto2 itself does."""

    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(messages(getattr(kinds, name)))
    def every(message: Any) -> None:
        agrees(message)

    every()


def test_recursive_message(kinds: ModuleType) -> None:
    """A message may hold messages of its own type."""
    tree = kinds.Tree(name="a", children=[kinds.Tree(name="b", parent=kinds.Tree())])

    assert CODEC.decode(CODEC.encode(tree, kinds.Tree), kinds.Tree) == tree


def test_last_alternative_wins(kinds: ModuleType) -> None:
    """Where a careless writer set two alternatives, one goes on the wire and the reader sees one."""
    data = CODEC.encode(kinds.Choice(text="a", number=7), kinds.Choice)

    assert CODEC.decode(data, kinds.Choice) == kinds.Choice(number=7)


def test_unset_is_not_default(kinds: ModuleType) -> None:
    """Presence survives: absent, and present with the default value, are two things."""
    for message in (kinds.Optionals(), kinds.Optionals(an_int32=0, a_string="", a_bool=False, plain_leaf=kinds.Leaf())):
        assert CODEC.decode(CODEC.encode(message, kinds.Optionals), kinds.Optionals) == message


def test_negative_spans(kinds: ModuleType) -> None:
    """A negative duration keeps its fraction (betterproto2's own arithmetic loses its sign)."""
    message = kinds.Known(lasting=timedelta(seconds=-1, microseconds=-500_000))

    assert CODEC.decode(CODEC.encode(message, kinds.Known), kinds.Known) == message


@pytest.mark.parametrize(
    "broken",
    [
        lambda: v1.LineItem(quantity=2**31),
        lambda: v1.OrderLine(total=-(2**63) - 1),
        lambda: v1.LineItem(sku="\ud800"),
        lambda: v1.Price(from_=datetime(2026, 1, 1)),  # noqa: DTZ001 - the point
        lambda: v1.Order(status=v1.OrderStatus(2**31)),
    ],
    ids=["int32", "int64", "surrogate", "no zone", "enum"],
)
def test_values_out_of_range_are_refused(broken: Callable[[], Any]) -> None:
    """What a field cannot hold is a ValueError, where betterproto2 itself writes it."""
    message = broken()
    with pytest.raises(ValueError, match=r".+"):
        CODEC.encode(message, type(message))


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a\x20abc",
        b"\x0a\x02\xff\xfe",
        b"\x0a",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x0b",
        b"\x00\x00",
    ],
    ids=["truncated", "utf-8", "half a field", "varint", "open group", "field 0"],
)
def test_unreadable_bytes_are_refused(data: bytes) -> None:
    """What is no message is Unreadable, where betterproto2 itself takes some of it."""
    with pytest.raises(Unreadable):
        CODEC.decode(data, v1.GetOrderRequest)


@settings(max_examples=300, deadline=None, database=None)
@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing but Unreadable ever comes out of bad bytes."""
    for kind in (v1.ListOrdersRequest, v1.Order, v1.ReserveStockResponse):
        try:
            CODEC.decode(data, kind)
        except Unreadable:
            continue


def test_times_beyond_the_calendar_are_refused() -> None:
    """A timestamp after the year 9999 is Unreadable."""
    with pytest.raises(Unreadable):
        CODEC.decode(b"\x22\x09\x08\xff\xff\xff\xff\xff\xff\xff\x7f", v1.ListOrdersRequest)


def test_wrong_wire_type_does_not_reach_the_field() -> None:
    """A number where a text belongs leaves the field empty, where betterproto2 itself hands the number out."""
    assert CODEC.decode(b"\x08\x07", v1.GetOrderRequest) == v1.GetOrderRequest()


def test_unknown_fields_are_dropped() -> None:
    """A field from the future is passed over."""
    assert CODEC.decode(b"\x0a\x01x\xfa\x06\x03new", v1.GetOrderRequest) == v1.GetOrderRequest(id="x")


def test_answers_of_another_type_are_refused() -> None:
    """A servicer that answers with the wrong message, or none, is found out."""
    for wrong in (v1.GetOrderRequest(), None):
        with pytest.raises(TypeError):
            CODEC.encode(wrong, v1.GetOrderResponse)


def test_google_messages_pass_through() -> None:
    """Messages of protobuf's own, as in health checks, go the plain way."""
    message = HealthCheckRequest(service="soms.v1.OrderService")

    assert CODEC.decode(CODEC.encode(message, HealthCheckRequest), HealthCheckRequest) == message
