"""What every request gets, known path or not: an id, bounds of its head, errors as problems, safe headers, a figure and a log line."""

import logging
import re
import time
from typing import Final
from uuid import uuid4

from aiohttp import HttpVersion11, web
from aiohttp.typedefs import Handler

from soms.errors import InvalidArgument, NotFound, SomsError
from soms.logging import set_request_id
from soms.rpc import context
from soms.web import problems
from soms.web.gateway import STANDING
from soms.web.limits import Standing
from soms.web.metrics import Metrics

TARGET_LIMIT_BYTES: Final = 8 * 1024
HEAD_LIMIT_BYTES: Final = 16 * 1024
SAFE_ID: Final = re.compile(r"[A-Za-z0-9._:~-]{1,64}")
METRICS: Final = web.AppKey("metrics", Metrics)
SAFE_HEADERS: Final = {"Server": "SOMS", "X-Content-Type-Options": "nosniff"}
SLOW_SECONDS: Final = 1.0

log = logging.getLogger("soms.web.access")
faults = logging.getLogger(__name__)


@web.middleware
async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Have `request` answered, whatever happens on the way."""
    started, request_id = time.perf_counter(), _request_id(request)
    set_request_id(request_id)
    try:
        _check_head(request)
        response = await handler(request)
    except SomsError as error:
        response = problems.respond(error, request_id)
    except web.HTTPException as refusal:
        response = _refused(request, refusal, request_id)
    except ConnectionError:
        raise  # the client is gone: nobody is left to answer
    except Exception:  # noqa: BLE001 - whatever it is, its text is not for strangers
        faults.exception("%s %s failed", request.method, _path(request))
        response = problems.respond(SomsError(), request_id)
    complete(response, request_id, request.get(STANDING))
    _record(request, response.status, time.perf_counter() - started)
    return response


def _request_id(request: web.Request) -> str:
    sent = request.headers.getall("X-Request-Id", [])
    return sent[0] if len(sent) == 1 and SAFE_ID.fullmatch(sent[0]) else uuid4().hex


def _check_head(request: web.Request) -> None:
    if len(request.raw_path) > TARGET_LIMIT_BYTES:
        raise SomsError(f"the address may have {TARGET_LIMIT_BYTES} bytes", reason="uri_too_long")
    if sum(len(name) + len(value) for name, value in request.raw_headers) > HEAD_LIMIT_BYTES:
        raise SomsError(f"the headers may have {HEAD_LIMIT_BYTES} bytes", reason="headers_too_large")
    if len(request.headers.getall("Host", [])) > 1:
        raise InvalidArgument("Host: once only", reason="invalid_parameter")
    coding = request.headers.get("Transfer-Encoding")
    if coding and (coding.lower() != "chunked" or request.version < HttpVersion11):  # RFC 9112 §6.1
        raise InvalidArgument("Transfer-Encoding: chunked alone, and in HTTP/1.1", reason="invalid_parameter")


def _refused(request: web.Request, refusal: web.HTTPException, request_id: str) -> web.Response:
    """What aiohttp refused by itself: an unknown path, or a method that the path does not have."""
    if not isinstance(refusal, web.HTTPMethodNotAllowed):
        return problems.respond(NotFound(), request_id)
    allowed = {"Allow": ", ".join(sorted({*refusal.allowed_methods, "OPTIONS"}))}
    if request.method == "OPTIONS":
        return web.Response(status=204, headers=allowed)
    return problems.respond(SomsError(f"this path takes {allowed['Allow']}", reason="method_not_allowed"), request_id, allowed)


def complete(response: web.StreamResponse, request_id: str, standing: Standing | None = None) -> None:
    """Put on `response` what every answer has."""
    headers = response.headers
    headers.update(SAFE_HEADERS)
    headers["X-Request-Id"] = request_id
    headers.setdefault("Cache-Control", "no-store")
    if standing:
        headers.update(standing.headers())


def _record(request: web.Request, status: int, seconds: float) -> None:
    resource = request.match_info.route.resource
    route = resource.canonical if resource else "unknown"
    request.app[METRICS].observe(request.method, route, status, seconds)
    level = logging.DEBUG if route == "/readyz" else _level(status, seconds)  # it is asked for all the time while others start
    if log.isEnabledFor(level):
        call = context.current()
        user_id = str(call.identity.user_id) if call and call.identity else None
        said = {"method": request.method, "path": _path(request), "status": status, "milliseconds": round(seconds * 1000, 1)}
        log.log(level, "request", extra=said | {"user_id": user_id})


def _level(status: int, seconds: float) -> int:
    """What is well and quick is told by the metrics; a line each would cost more than all the rest of the gateway."""
    if status >= 500 or seconds >= SLOW_SECONDS:  # noqa: PLR2004 - our fault
        return logging.WARNING
    return logging.INFO if status >= 400 else logging.DEBUG  # noqa: PLR2004 - the client's


def _path(request: web.Request) -> str:
    return request.raw_path.partition("?")[0][:200]
