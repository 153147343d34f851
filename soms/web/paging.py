"""Pages of lists: `limit` and `cursor` in, `{"items", "next"}` out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Generic, TypeVar

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from soms.web.cursors import Seal
from soms.web.queries import number

Item = TypeVar("Item")
DEFAULT_LIMIT: Final = 20
NO_SEAL: Final = Seal(b"")


class Paging(TypedDict, total=False):
    """What every list takes: how many items, and from where on."""

    limit: Annotated[int, Field(ge=1, le=100, description="Items a page, 20 unless said."), BeforeValidator(number)]
    cursor: Annotated[str, Field(description="`next` of the page before.")]


class Items(TypedDict, Generic[Item]):
    """One page of a list; `next` is the cursor of the next page, null on the last."""

    items: list[Item]
    next: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """The page that is asked for: its `size`, and the `token` of the service where it begins (empty: at the start)."""

    size: int = DEFAULT_LIMIT
    token: str = ""
    scope: str = ""
    seal: Seal = NO_SEAL

    def of(self, items: Iterable[Item], next_token: str) -> Items[Item]:
        """The answer with these items, where the service names the beginning of the next page (empty: there is none)."""
        return {"items": list(items), "next": self.seal.close(next_token, self.scope) if next_token else None}


WHOLE: Final = Page()


def asked(seal: Seal, query: Mapping[str, Any], raw: Mapping[str, str], listing: str) -> Page:
    """The page that `query` asks for of `listing`, a text that names route and account.

    The cursor must come with the very filters it was given out under (`raw`, the query as it was sent); raises InvalidArgument.
    """
    filters = sorted((name, value) for name, value in raw.items() if name not in Paging.__annotations__)
    scope = f"{listing} {filters}"
    token = seal.open(query["cursor"], scope) if "cursor" in query else ""
    return Page(query.get("limit", DEFAULT_LIMIT), token, scope, seal)
