"""What a route is: one typed handler whose signature says what it takes and gives, and the promises around it.

`@route("POST", "/orders", …)` on `async def place(request: Request[PlaceOrder]) -> Answer[Order]` is all there is to say:
requests are checked against the input type, the OpenAPI document shows both. Knows neither aiohttp nor the nouns.
"""

import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Generic, Literal, TypeVar

from pydantic import TypeAdapter

from soms.rpc.client import Services
from soms.tokens import Identity
from soms.web.agents import Agents, Following
from soms.web.auth import Access
from soms.web.body import SIZE_LIMIT_BYTES
from soms.web.ndjson import Lines
from soms.web.paging import WHOLE, Page

PREFIX: Final = "/api/v1"
Input = TypeVar("Input")
Output = TypeVar("Output")
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]


@dataclass(slots=True)
class Request(Generic[Input]):
    """One request that passed all checks.

    `input` is its body, or the query of a GET; `path` holds the ids in its path, `resume` the last event that the client of a
    stream has seen.
    """

    services: Services
    agents: Agents
    input: Input
    path: Mapping[str, str]
    identity: Identity | None = None
    address: str = ""
    key: str = ""
    if_version: int | None = None
    page: Page = WHOLE
    target: str = ""
    resume: str = ""


@dataclass(slots=True)
class Answer(Generic[Output]):
    """What a handler gives: the body, and for a single object its version; `location` (below the prefix) of what was made."""

    body: Output
    version: int | None = None
    location: str | None = None
    replayed: bool = False


Handler = Callable[[Request[Any]], Awaitable[Answer[Any]]]


@dataclass(frozen=True)
class Route:
    """One route of the API, its path below the prefix; `reasons` are those that only this one has.

    `key` says whether an Idempotency-Key is honoured or required, `tagged` that the answer is one object with an ETag
    and that a change takes If-Match, `seconds` how long it may take in all, `body_bytes` how large its body may be; with `cookie`
    that of the dashboard serves as a token.
    """

    method: Method
    path: str
    handler: Handler
    access: Access
    status: int
    key: Literal["honoured", "required"] | None
    tagged: bool
    seconds: float
    reasons: tuple[str, ...]
    cookie: bool
    body_bytes: int

    @property
    def name(self) -> str:
        """What its handler is called, as no other."""
        return self.handler.__name__

    @cached_property
    def types(self) -> tuple[Any, Any]:
        """Types of input and answer; None for none."""
        hints = typing.get_type_hints(self.handler, include_extras=True)
        taken, given = (typing.get_args(hints[name])[0] for name in ("request", "return"))
        return (None if taken is type(None) else taken), (None if given is type(None) else given)

    @cached_property
    def adapter(self) -> TypeAdapter[Any] | None:
        """What checks the input, or each line of it."""
        return None if self.types[0] is None else TypeAdapter(*(typing.get_args(self.types[0]) if self.lines else [self.types[0]]))

    @property
    def lines(self) -> bool:
        """Whether the body comes in lines, and so does the answer."""
        return typing.get_origin(self.types[0]) is Lines

    @property
    def streams(self) -> bool:
        """Whether the answer goes on and on, as server-sent events."""
        return self.types[1] is Following

    @property
    def takes_query(self) -> bool:
        """Whether the input stands in the query rather than in the body."""
        return self.method == "GET"

    @cached_property
    def input_optional(self) -> bool:
        """Whether nothing at all is a fine input."""
        return not getattr(self.types[0], "__required_keys__", frozenset())

    @property
    def conditional(self) -> bool:
        """Whether `If-Match` is heeded."""
        return self.tagged and self.method != "GET" and self.status != 201  # noqa: PLR2004 - nothing stands yet


def route(
    method: Method,
    path: str,
    access: Access,
    *,
    status: int = 200,
    key: Literal["honoured", "required"] | None = None,
    tagged: bool = False,
    seconds: float = 2.0,
    reasons: tuple[str, ...] = (),
    cookie: bool = False,
    body_bytes: int = SIZE_LIMIT_BYTES,
) -> Callable[[Handler], Route]:
    """Make the handler below a route."""
    return lambda handler: Route(method, path, handler, access, status, key, tagged, seconds, reasons, cookie, body_bytes)
