"""The value on Kafka of an event of an order: JSON text, within what a broker takes, however many lines there are."""

from typing import Any, Final

import orjson
from pydantic import BaseModel

from soms.errors import ResourceExhausted

# of a value on Kafka: a broker takes 1 MiB and a little, headers and the head of a batch need some of it
LARGEST_BYTES: Final = 1_000_000
# names of lines are for people: where the event of an order would be too large, they are cut to so many characters
SHORT_NAMES: Final = (40, 20, 0)


def payload(event: BaseModel, lines: list[Any]) -> str:
    """The event with its `lines`; thousands of them are told without zeros and with as much of their names as there is room for.

    Raises ResourceExhausted (`too_large`) for what cannot be told even so: a change that nobody could hear of must not be made.
    """
    text = event.model_dump_json()
    for longest in SHORT_NAMES:
        if len(text) <= LARGEST_BYTES and len(text.encode()) <= LARGEST_BYTES:
            return text
        text = _compact(event, lines, longest)
    if len(text.encode()) <= LARGEST_BYTES:
        return text
    raise ResourceExhausted(f"an order's event may have {LARGEST_BYTES:,} bytes: this order has too many lines", reason="too_large")


def _compact(event: BaseModel, lines: list[Any], longest: int) -> str:
    short = [line.model_copy(update={"name": line.name[:longest]}).model_dump(exclude_defaults=True) for line in lines]
    return orjson.dumps({**event.model_dump(mode="json", exclude={"lines"}), "lines": short}).decode()
