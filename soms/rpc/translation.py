"""Messages to bytes and back: betterproto2 dataclasses through upb, the C core of protobuf, ten times faster than by themselves.

For each message type two functions are generated from its descriptor: one makes the tree of plain values that upb serialises,
one reads a parsed upb message into the dataclass. upb checks ranges, truncation and UTF-8; unknown fields are dropped.
Knows message types, not services.
"""

import functools
import keyword
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import betterproto2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SCALAR_WRAPPERS: Final = frozenset(
    f"google.protobuf.{kind}Value" for kind in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)


Expression = Callable[[str], str]


class Translation(NamedTuple):
    """How messages of one type get on the wire and off it."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


@functools.cache
def translation(message_type: Any) -> Translation:
    """The translation of `message_type`, generated on first use."""
    if not issubclass(message_type, betterproto2.Message):
        return Translation(message_type.SerializeToString, message_type.FromString)
    number = _generated(message_type)
    tree, read, wire = _generation[f"tree_{number}"], _generation[f"read_{number}"], GetMessageClass(message_type.DESCRIPTOR)
    return Translation(lambda message: wire(**tree(message)).SerializeToString(), lambda data: read(wire.FromString(data)))


class _Members(dict[int, Any]):
    """Enum members by number; a number nobody has named yet becomes a nameless member."""

    def __init__(self, enum: Any) -> None:
        super().__init__({member.value: member for member in enum})
        self._enum = enum

    def __missing__(self, number: int) -> Any:
        return self._enum(number)


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("a time on the wire needs its zone")
    return moment


def _moment(timestamp: Any) -> datetime:
    return EPOCH + timedelta(0, timestamp.seconds, timestamp.nanos // 1000)


def _span(duration: Any) -> timedelta:
    return timedelta(0, duration.seconds, int(duration.nanos / 1000))


# globals of the generated functions, and the number that each message type bears in their names
_generation: Final[dict[str, Any]] = {"new": object.__new__, "aware": _aware, "moment": _moment, "span": _span}
_numbers: Final[dict[Any, int]] = {}


def _generated(message_type: Any) -> int:
    """Generate `tree_N(message)` and `read_N(parsed)` for a type and all it is made of; gives N."""
    if message_type in _numbers:
        return _numbers[message_type]
    number = _numbers[message_type] = len(_numbers)
    meta = message_type._betterproto  # noqa: SLF001 - where betterproto2 keeps what it knows of a message
    writes, reads = [], []
    for field in message_type.DESCRIPTOR.fields:
        attribute = meta.field_name_by_number[field.number]
        write, read = _field(field, attribute, meta.cls_by_field, meta.meta_by_field_name[attribute])
        writes.append(f"{field.name!r}: {write}")
        reads.append(f" o.{attribute} = {read}\n")
    _generation[f"type_{number}"] = message_type
    source = f"def tree_{number}(o): return {{{', '.join(writes)}}}\n"
    source += f"def read_{number}(p):\n o = new(type_{number})\n o._unknown_fields = b''\n{''.join(reads)} return o\n"
    exec(source, _generation)  # noqa: S102 - the source is made of our own descriptors alone
    return number


def _field(field: FieldDescriptor, attribute: str, classes: dict[str, Any], meta: betterproto2.FieldMetadata) -> tuple[str, str]:
    """The expressions that write field `attribute` of dataclass `o` and read it from the parsed message `p`."""
    own, parsed = f"o.{attribute}", f"getattr(p, {field.name!r})" if keyword.iskeyword(field.name) else f"p.{field.name}"
    if meta.map_meta:
        write, read = _value(field.message_type.fields_by_name["value"], classes[f"{attribute}.value"], meta.map_meta[1])
        return f"{{k: {write('v')} for k, v in {own}.items()}}", f"{{k: {read('v')} for k, v in {parsed}.items()}}"
    write, read = _value(field, classes[attribute], meta)
    if meta.repeated:
        return f"{own} and [{write('v')} for v in {own}]", f"[{read('v')} for v in {parsed}]"
    if field.has_presence:
        return f"None if {own} is None else {write(own)}", f"{read(parsed)} if p.HasField({field.name!r}) else None"
    return write(own), read(parsed)


def _value(field: FieldDescriptor, cls: Any, meta: betterproto2.FieldMetadata) -> tuple[Expression, Expression]:
    """How one value of a field is written and read: functions from the expression of the value to that of the result."""
    if field.enum_type:
        name = f"members_{field.enum_type.full_name.replace('.', '_')}"
        _generation.setdefault(name, _Members(cls))
        return "{}".format, f"{name}[{{}}]".format
    if not field.message_type:
        return "{}".format, "{}".format
    if meta.unwrap is None:
        number = _generated(cls)
        return f"tree_{number}({{}})".format, f"read_{number}({{}})".format
    return _wrapped(field.message_type.full_name)


def _wrapped(name: str) -> tuple[Expression, Expression]:
    """A well-known type that the dataclass shows as a plain Python value."""
    if name in SCALAR_WRAPPERS:
        return "{{'value': {}}}".format, "{}.value".format
    if name == "google.protobuf.Timestamp":
        return "aware({})".format, "moment({})".format
    if name == "google.protobuf.Duration":
        return "{}".format, "span({})".format
    raise TypeError(f"no translation for {name}")
