"""Checking values against their pydantic types, and saying in the words of rest.md what is wrong with them."""

from collections.abc import Sequence
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from soms.errors import InvalidArgument

CODES: Final = {"extra_forbidden": "unknown_field", "value_error": "invalid"}
SHOWN_ERRORS: Final = 100
SHOWN_NAME: Final = 100


def checked(adapter: TypeAdapter[Any], value: Any, reason: str = "validation_failed") -> Any:
    """What `value` means; raises InvalidArgument with `errors:[{field, code, message}]`, at most 100."""
    try:
        return adapter.validate_python(value)
    except ValidationError as refusal:
        found = refusal.errors(include_url=False, include_context=False, include_input=False)[:SHOWN_ERRORS]
    errors = [_error(error["loc"], error["type"], error["msg"]) for error in found]
    raise InvalidArgument(f"{errors[0]['field']}: {errors[0]['message']}", reason=reason, errors=errors)


def _error(place: Sequence[int | str], code: str, message: str) -> dict[str, str]:
    known = "unknown field" if code == "extra_forbidden" else message.removeprefix("Value error, ")
    return {"field": field_path(place), "code": CODES.get(code, code), "message": known}


def field_path(place: Sequence[int | str]) -> str:
    """The name of a field as people write it: `lines[0].quantity`; empty for the value as a whole."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step[:SHOWN_NAME]}" for step in place).removeprefix(".")
