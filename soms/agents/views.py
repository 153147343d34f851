"""What agents answer over HTTP, to the gateway alone: who asks is proved by their own token, refusals travel as they are.

worker.routes += [view("GET", "/notifications", verifier, STAFF, listing)]
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
from aiohttp import web

from soms import logging as soms_logging
from soms.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    SomsError,
    Unauthenticated,
    Unavailable,
)
from soms.tokens import Identity, Verifier

ANSWER_SECONDS: Final = 5.0
STAFF: Final = frozenset({"staff", "admin"})
CUSTOMER: Final = STAFF | {"customer"}
# for people who look; the gateway reads the document
STATUSES: Final[dict[type[SomsError], HTTPStatus]] = {
    InvalidArgument: HTTPStatus.BAD_REQUEST,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    PermissionDenied: HTTPStatus.FORBIDDEN,
    NotFound: HTTPStatus.NOT_FOUND,
    AlreadyExists: HTTPStatus.CONFLICT,
    FailedPrecondition: HTTPStatus.CONFLICT,
    Aborted: HTTPStatus.CONFLICT,
    ResourceExhausted: HTTPStatus.TOO_MANY_REQUESTS,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and by whom; `body` is the JSON that came along, None without."""

    identity: Identity
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None


Answer = Callable[[Question], Awaitable[Any]]


def view(method: str, path: str, verifier: Verifier, roles: frozenset[str], answer: Answer) -> web.RouteDef:
    """A route that gives what `answer` gives, as JSON, to whoever holds one of `roles`; None is an empty answer."""

    async def endpoint(request: web.Request) -> web.Response:
        soms_logging.set_request_id(request.headers.get("X-Request-Id"))
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                question = await _question(request, caller(request, verifier, roles))
                return _json(await answer(question))
        except SomsError as error:
            return refusal(error)
        except TimeoutError:
            return refusal(Unavailable("no answer in time", retry_after=1))
        except Exception:
            logger.exception("%s %s failed", method, path)
            return refusal(SomsError())

    return web.route(method, path, endpoint)


def refusal(error: SomsError) -> web.Response:
    """An error that the gateway makes an exception of again."""
    status = next((status for kind, status in STATUSES.items() if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    document = {
        "error": type(error).__name__,
        "message": error.message,
        "reason": error.reason,
        "retry_after": error.retry_after,
        "details": error.details,
    }
    return _json(document, status)


def caller(request: web.Request, verifier: Verifier, roles: frozenset[str]) -> Identity:
    """Who asks. Raises Unauthenticated for nobody, or nobody any more, PermissionDenied for who holds none of `roles`."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    identity = verifier.verify(token if scheme.lower() == "bearer" else "")
    if roles.isdisjoint(identity.roles):
        raise PermissionDenied
    return identity


async def _question(request: web.Request, identity: Identity) -> Question:
    body = await request.read()
    try:
        return Question(identity, dict(request.match_info), dict(request.query), orjson.loads(body) if body else None)
    except orjson.JSONDecodeError as cause:
        raise InvalidArgument("this is no JSON", reason="malformed_body") from cause


def _json(document: Any, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    if document is None:
        return web.Response(status=HTTPStatus.NO_CONTENT)
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")
