"""CloudEvents on Kafka, binary mode: writes headers, reads a record as one of `soms.events`. Knows no Kafka library.

Source: CloudEvents 1.0.2, Kafka Protocol Binding, section 3.2.
"""

import datetime as dt
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from soms.errors import InvalidArgument
from soms.events import Event
from soms.finding import AnalyticsFinding  # noqa: F401 - one more that is told

UNREADABLE: Final = "unreadable"
TYPE: Final = re.compile(r"[a-z][a-z0-9_.]{0,99}")
TRACEPARENT: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
TIME: Final = TypeAdapter(AwareDatetime)
Headers = Iterable[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A record as it was read; `event` is None for a type that this version of SOMS does not know.

    `digest` is the SHA-256 of the value: two records of one id must have the same.
    """

    id: UUID
    type: str
    time: dt.datetime
    key: str
    digest: bytes
    event: Event | None = None
    traceparent: str | None = None


def told(event: type[Event] = Event) -> Iterator[type[Event]]:
    """The kinds of event that are really told: those with a type of their own."""
    if "type" in event.__dict__:
        yield event
    for narrower in event.__subclasses__():
        yield from told(narrower)


KINDS: Final = {kind.type: kind for kind in told()}


def headers(event_id: UUID, kind: str, source: str, time: dt.datetime, traceparent: str | None = None) -> list[tuple[str, bytes]]:
    """The headers of an event of type `kind` that came true at `time`, told by `source` (as `/soms/order`)."""
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": str(event_id),
        "ce_type": kind,
        "ce_source": source,
        "ce_time": time.astimezone(dt.UTC).isoformat().replace("+00:00", "Z"),
        "content-type": "application/json",
        "traceparent": traceparent,
    }
    return [(name, value.encode()) for name, value in attributes.items() if value]


def read(headers: Headers, key: bytes | None, value: bytes | None) -> Envelope:
    """Read a record; fields that are not known are ignored.

    Raises InvalidArgument, reason `unreadable`, for what can never be read. A type that is not known is no such thing.
    """
    found = {name: content for name, content in headers if content is not None}
    name = _text(found, "ce_type")
    if not TYPE.fullmatch(name):
        raise _unreadable(f"ce_type {name[:100]!r} is no type")
    try:
        event_id, time = UUID(_text(found, "ce_id")), TIME.validate_strings(_text(found, "ce_time"))
    except (ValidationError, ValueError) as cause:
        raise _unreadable("ce_id is no UUID or ce_time no time with zone") from cause
    if value is None or key is None:
        raise _unreadable("there is no key or no value")
    kind = KINDS.get(name)
    traceparent = found.get("traceparent", b"").decode(errors="replace")
    return Envelope(
        id=event_id,
        type=name,
        time=time,
        key=key.decode(errors="replace"),
        digest=hashlib.sha256(value).digest(),
        event=_event(kind, key, value) if kind else None,
        traceparent=traceparent if TRACEPARENT.fullmatch(traceparent) else None,
    )


def _event(kind: type[Event], key: bytes, value: bytes) -> Event:
    try:
        event = kind.model_validate_json(value)
    except ValidationError as error:
        wrong = ", ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors(include_input=False)[:5])
        raise _unreadable(f"the value is no {kind.type}: {wrong}") from None
    if event.key.encode(errors="replace") != key:
        raise _unreadable("the key is not that of the value, so that its order among others is lost")
    return event


def _text(headers: dict[str, bytes], name: str) -> str:
    try:
        return headers[name].decode()
    except (KeyError, UnicodeDecodeError):
        raise _unreadable(f"header {name} is missing or no text") from None


def _unreadable(message: str) -> InvalidArgument:
    return InvalidArgument(message, reason=UNREADABLE)
