"""The ids in paths. What cannot be an id names nothing, which is all that anybody learns."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from pydantic import TypeAdapter, ValidationError

from soms.errors import NotFound
from soms.values import Sku

UUID: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
SKU: Final[TypeAdapter[str]] = TypeAdapter(Sku)


def identifiers(parts: Mapping[str, str]) -> dict[str, str]:
    """The decoded variable parts of a path, each as its name asks; raises NotFound."""
    return {name: KINDS[name](text) for name, text in parts.items()}


def _uuid(text: str) -> str:
    if not UUID.fullmatch(text):
        raise NotFound
    return text.lower()


def _sku(text: str) -> str:
    try:
        return SKU.validate_python(text)
    except ValidationError:
        raise NotFound from None


KINDS: Final[dict[str, Callable[[str], str]]] = {"id": _uuid, "sku": _sku}
