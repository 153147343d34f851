"""Errors as `application/problem+json` (RFC 9457): one table from the reason of an error to its status. Shows nothing of our insides."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from aiohttp import web

from soms.errors import SomsError


@dataclass(frozen=True, slots=True)
class Kind:
    """What all errors of one reason share; a fixed `detail` says the same whatever the cause, so that nothing leaks."""

    status: int
    title: str
    detail: str | None = None


REASONS: Final[dict[str, Kind]] = {
    "malformed_body": Kind(400, "The body is not the JSON it should be"),
    "invalid_parameter": Kind(400, "A query parameter or header is wrong"),
    "idempotency_key_required": Kind(400, "An Idempotency-Key is required"),
    "idempotency_key_invalid": Kind(400, "The Idempotency-Key is not 1 to 255 visible ASCII characters, once"),
    "unauthenticated": Kind(
        401, "A valid access token is required", "Send `Authorization: Bearer <access token>` with a token that holds."
    ),
    "invalid_credentials": Kind(401, "E-mail or password is wrong", "No account has this e-mail and this password."),
    "invalid_token": Kind(401, "The token does not hold", "The token is unknown, used or expired."),
    "forbidden": Kind(403, "Your role may not do this"),
    "not_found": Kind(404, "Nothing here", "There is no such thing, or it is not yours to see."),
    "method_not_allowed": Kind(405, "This path does not know the method"),
    "timeout": Kind(408, "The body took too long to arrive"),
    "email_taken": Kind(409, "The e-mail has an account already"),
    "sku_taken": Kind(409, "The SKU is taken"),
    "insufficient_stock": Kind(409, "There is too little stock"),
    "product_inactive": Kind(409, "A product is not sold"),
    "invalid_transition": Kind(409, "The order does not allow this now"),
    "over_return": Kind(409, "More would come back than was delivered"),
    "too_many_addresses": Kind(409, "The address book is full"),
    "url_taken": Kind(409, "A webhook has this address already"),
    "too_many_webhooks": Kind(409, "There are as many webhooks as there may be"),
    "last_admin": Kind(409, "Somebody must stay admin"),
    "in_flight": Kind(409, "The same request is still under way"),
    "already_exists": Kind(409, "It exists already"),
    "failed_precondition": Kind(409, "The state of things refuses it"),
    "stale_version": Kind(412, "It has changed since you saw it"),
    "too_large": Kind(413, "It is larger than it may be"),
    "uri_too_long": Kind(414, "The address is longer than 8 KiB"),
    "unsupported_media_type": Kind(415, "The body must be of the type that the route takes, unencoded"),
    "validation_failed": Kind(422, "The request cannot be meant"),
    "unknown_sku": Kind(422, "A SKU is unknown"),
    "unknown_user": Kind(422, "The user is unknown"),
    "idempotency_mismatch": Kind(422, "The Idempotency-Key stands for another request"),
    "rate_limited": Kind(429, "Too many requests"),
    "headers_too_large": Kind(431, "The headers are larger than 16 KiB"),
    "internal": Kind(500, "Something went wrong on our side", "It is logged under the request id."),
    "unavailable": Kind(503, "Not available right now", "A part of SOMS is away or full; the same request may succeed a moment later."),
}
MEDIA_TYPE: Final = "application/problem+json"


def kind(error: SomsError) -> Kind:
    """The table's entry for the reason of `error`, for a reason nobody listed that of its class."""
    return REASONS.get(error.reason) or REASONS[type(error).reason]


def document(error: SomsError, request_id: str) -> dict[str, Any]:
    """The members of the problem; its type is a place on the docs page.

    A refusal given again tells the request id of the first time: a replay equals its original to the byte.
    """
    found, details = kind(error), {name: value for name, value in error.details.items() if name != "replayed"}
    standard = {
        "type": f"/docs#{error.reason}",
        "title": found.title,
        "status": found.status,
        "detail": found.detail or error.message,
        "reason": error.reason,
        "request_id": request_id,
    }
    if error.details.get("replayed"):
        standard["request_id"] = details.get("request_id", request_id)
    return standard if found.detail else details | standard


def respond(error: SomsError, request_id: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """The answer to a request that ended in `error`."""
    body = document(error, request_id)
    response = web.Response(
        status=body["status"], body=orjson.dumps(body, option=orjson.OPT_SORT_KEYS), content_type=MEDIA_TYPE, headers=headers
    )
    if response.status == 401:  # noqa: PLR2004 - RFC 9110 §15.5.2
        response.headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after is not None or response.status in {429, 503} or error.reason == "in_flight":
        response.headers["Retry-After"] = str(max(1, math.ceil(error.retry_after or 1)))
    if error.details.get("replayed"):
        response.headers["Idempotent-Replayed"] = "true"
    return response
