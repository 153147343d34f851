"""What the routes of the OpenAPI document share: problems, headers, ids in paths, and the routes beside the API."""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import TypeAdapter

from soms.values import Sku
from soms.web.auth import Access
from soms.web.problems import MEDIA_TYPE, REASONS
from soms.web.routes import Route

Json = dict[str, Any]
PATH_SCHEMAS: Final[dict[str, Json]] = {"id": {"type": "string", "format": "uuid"}, "sku": TypeAdapter(Sku).json_schema()}
ALWAYS: Final = ("invalid_parameter", "uri_too_long", "rate_limited", "headers_too_large", "internal", "unavailable")
WITH_BODY: Final = ("malformed_body", "timeout", "too_large", "unsupported_media_type", "validation_failed")
WITH_KEY: Final = ("idempotency_key_invalid", "idempotency_mismatch", "in_flight")
TEXT: Final[Json] = {"type": "string"}
COUNT: Final[Json] = {"type": "integer"}


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


PROBLEM: Final[Json] = {
    "type": "object",
    "description": "RFC 9457. `reason` is the stable word to act upon; some reasons have members of their own.",
    "required": ["type", "title", "status", "detail", "reason", "request_id"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": TEXT,
        "status": COUNT,
        "detail": TEXT,
        "reason": {"type": "string", "enum": sorted(REASONS)},
        "request_id": TEXT,
        "errors": {"type": "array", "items": _object(field=TEXT, code=TEXT, message=TEXT)},
        "short": {"type": "array", "items": _object(sku=TEXT, requested=COUNT, available=COUNT)},
        "skus": {"type": "array", "items": TEXT},
        "order_status": TEXT,
        "allowed": {"type": "array", "items": TEXT},
    },
    "x-reasons": {reason: {"status": known.status, "title": known.title} for reason, known in REASONS.items()},
}
SECURITY_SCHEMES: Final[Json] = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "dashboard": {"type": "apiKey", "in": "cookie", "name": "soms_access_8080", "description": "Set by /dashboard; named after the port."},
}
HEADERS: Final[Json] = {
    "X-Request-Id": {"description": "The client's own, or one made for it.", "schema": TEXT},
    "ETag": {"description": "The version, quoted.", "schema": TEXT},
    "Location": {"description": "Where it is from now on.", "schema": TEXT},
    "Idempotent-Replayed": {"description": "Present if this answer was given before.", "schema": {"const": "true"}},
    "RateLimit-Limit": {"description": "Requests a minute.", "schema": COUNT},
    "RateLimit-Remaining": {"description": "Requests free at once.", "schema": COUNT},
    "RateLimit-Reset": {"description": "Seconds until all are free again.", "schema": COUNT},
    "Retry-After": {"description": "Seconds until a repetition may succeed.", "schema": COUNT},
    "WWW-Authenticate": {"description": "The scheme to use.", "schema": {"const": "Bearer"}},
}


def _operation(name: str, summary: str, media_type: str, **more: Json) -> Json:
    answer = {"description": "Done", "content": {media_type: {}}}
    return {"get": {"operationId": name, "tags": ["operations"], "summary": summary, "security": [], "responses": {"200": answer} | more}}


OPERATIONS: Final[Json] = {
    "/healthz": _operation("show_health", "Whether this process is alive", "application/json"),
    "/readyz": _operation(
        "show_readiness",
        "Whether each dependency is there",
        "application/json",
        **{"503": {"description": "Not ready", "content": {"application/json": {}}}},
    ),
    "/metrics": _operation("show_metrics", "Figures for Prometheus", "text/plain"),
    "/.well-known/jwks.json": _operation("show_keys", "The public keys of access tokens (RFC 7517)", "application/json"),
}


def reasons(route: Route) -> Iterator[str]:
    """Every reason for which a route may refuse."""
    yield from ALWAYS
    yield from route.reasons
    if "{" in route.path or "/me" in route.path:
        yield "not_found"
    if route.access >= Access.ANYONE:
        yield "unauthenticated"
    if route.access >= Access.STAFF:
        yield "forbidden"
    if route.adapter and not route.takes_query:
        yield from WITH_BODY
    if route.key:
        yield from WITH_KEY
    if route.key == "required":
        yield "idempotency_key_required"
    if route.conditional:
        yield "stale_version"


def problem(status: int, found: tuple[str, ...]) -> Json:
    """The response of one status, for these reasons."""
    own = {401: ["WWW-Authenticate"], 409: ["Retry-After"], 429: ["Retry-After"], 503: ["Retry-After"]}
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": {"reason": {"enum": list(found)}}}]}
    return {
        "description": ". ".join(REASONS[reason].title for reason in found),
        "headers": _headers([*_LIMITED, *own.get(status, [])]),
        "content": {MEDIA_TYPE: {"schema": schema}},
    }


def header_parameters(route: Route) -> list[Json]:
    """The headers that the route heeds."""
    found = []
    if route.key:
        found.append(_header("Idempotency-Key", "^[!-~]{1,255}$", "Your name for this attempt.", required=route.key == "required"))
    if route.streams:
        found.append(_header("Last-Event-ID", "^[!-~]{1,200}$", "The `id` of the last event that was seen."))
    if route.conditional:
        found.append(_header("If-Match", r'^(\*|"[1-9][0-9]{0,17}")$', "Change only this version."))
    if route.tagged and route.method == "GET":
        found.append(_header("If-None-Match", "", "Answer 304 if one of these versions stands still."))
    return found


def answer_headers(route: Route) -> Json:
    """The headers of a good answer."""
    tagged = ["ETag"] if route.tagged and route.status != 204 else []  # noqa: PLR2004 - nothing is left to have a version
    made = ["Location"] if route.status == 201 else []  # noqa: PLR2004 - Created
    return _headers([*_LIMITED, *tagged, *made, *(["Idempotent-Replayed"] if route.key else [])])


_LIMITED: Final = ("X-Request-Id", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


def _headers(names: list[str]) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _header(name: str, pattern: str, description: str, *, required: bool = False) -> Json:
    return {
        "name": name,
        "in": "header",
        "required": required,
        "description": description,
        "schema": {"type": "string", "pattern": pattern},
    }
