"""What the JSON shapes of all nouns are made of. Shapes are TypedDicts: mypy checks what is built, pydantic what is sent."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, with_config
from typing_extensions import TypedDict

from soms.errors import SomsError

Shape = TypeVar("Shape", bound=type)
Message = TypeVar("Message")
Uuid = Annotated[str, Field(json_schema_extra={"format": "uuid"})]
Timestamp = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="RFC 3339, UTC, microseconds.")]
Version = Annotated[int, Field(ge=1, description="Also the ETag.")]


def shape(example: Mapping[str, Any] | None = None) -> Callable[[Shape], Shape]:
    """Close the TypedDict below against unknown members and any coercion, and show an example of it in the docs."""
    extra: dict[str, Any] = {"examples": [dict(example)]} if example else {}
    return with_config(ConfigDict(extra="forbid", strict=True, json_schema_extra=extra))


@shape()
class Nothing(TypedDict):
    """A body without members, which may as well be absent."""


def timestamp(moment: datetime | None) -> str:
    """The time as REST tells it: `2026-11-22T10:00:00.123456Z`."""
    return f"{given(moment).isoformat(timespec='microseconds')[:26]}Z"


def filled(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members with "" for null, which is how messages take something away."""
    return {name: "" if value is None else value for name, value in members.items()}


def given(message: Message | None) -> Message:
    """The part of a service's answer that is never absent; raises SomsError (`internal`) for a service that broke its word."""
    if message is None:
        raise SomsError("a service left out part of its answer")
    return message
