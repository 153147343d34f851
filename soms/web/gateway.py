"""From an HTTP request to a checked one, to the handler of its route, and from the handler's answer back. Knows no noun."""

import ipaddress
import re
import time
from collections import defaultdict
from secrets import token_hex
from typing import Any, Final
from uuid import uuid4

import orjson
from aiohttp import web

from soms.config import Settings
from soms.logging import get_request_id
from soms.optout import OptOuts
from soms.rpc import context
from soms.rpc.client import Services
from soms.tokens import Identity, Verifier
from soms.web import auth, body, conditions, cookies, idempotency, paging, queries, stream
from soms.web.agents import Agents, Following
from soms.web.auth import Access
from soms.web.cursors import Seal
from soms.web.limits import Gate, RateLimit, Standing
from soms.web.ndjson import Lines
from soms.web.paths import identifiers
from soms.web.routes import PREFIX, Answer, Request, Route
from soms.web.stream import Streams
from soms.web.validation import checked

# A route whose service hangs fills its own places and leaves those of the others free.
ROUTE_LIMIT: Final = 256
TOTAL_LIMIT: Final = 1024
TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
EVENT_ID: Final = re.compile(r"[!-~]{1,200}")
STANDING: Final = web.RequestKey("standing", Standing)


class Gateway:
    """What the requests of one process share."""

    def __init__(self, settings: Settings, services: Services, agents: Agents, verifier: Verifier) -> None:
        """Take limits and secrets from `settings`."""
        self.services, self._agents, self.verifier = services, agents, verifier
        self.optouts, self.time_zone = OptOuts(settings), settings.time_zone
        self._seal = Seal(settings.secret("cursor").encode())
        limit = 0 if settings.rate_limit == "off" else settings.rate_limit
        self._accounts = RateLimit(limit) if limit else None
        self._addresses = RateLimit(2 * limit) if limit else None
        self.arriving, self._serving = Gate(ROUTE_LIMIT), Gate(TOTAL_LIMIT)
        self.streams = Streams()
        self._gates: defaultdict[str, Gate] = defaultdict(lambda: Gate(ROUTE_LIMIT))

    async def serve(self, route: Route, request: web.Request) -> web.StreamResponse:
        """Check the request as its route promises, in the order of cost, and have it answered; raises SomsError."""
        self.count_address(request)
        token = self._token(route, request)
        identity = auth.identify(token, route.access, self.verifier)
        if identity:
            self._count(request, self._accounts, str(identity.user_id))
        auth.permit(identity, route.access)
        asked = await self._checked(route, request, identity)
        with self._serving, self._gates[route.name]:
            context.begin(
                context.Call(
                    deadline=time.monotonic() + route.seconds,
                    token=token,
                    identity=identity,
                    request_id=get_request_id(),
                    traceparent=traceparent(request.headers.get("traceparent", "")),
                    client_address=request.remote,
                )
            )
            if route.streams:
                return await self._streamed(route, asked, request, token or "")
            return respond(route, await route.handler(asked), request)

    def count_address(self, request: web.Request) -> None:
        """Count one request of the client's address; raises ResourceExhausted."""
        self._count(request, self._addresses, network(request.remote or ""))

    def _token(self, route: Route, request: web.Request) -> str | None:
        if route.access is Access.SIGNING_IN:
            return None
        return auth.bearer(request) or (cookies.access_token(request) if route.cookie else None)

    async def _streamed(self, route: Route, asked: Request[Any], request: web.Request, token: str) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response(headers=stream.HEADERS)

        async def begin() -> Following:
            found: Following = (await route.handler(asked)).body
            return found

        return await self.streams.response(begin, lambda: self.verifier.verify(token))

    async def _checked(self, route: Route, request: web.Request, identity: Identity | None) -> Request[Any]:
        path = identifiers(request.match_info)
        query, raw = queries.read(request, route.adapter if route.takes_query else None)
        target = f"{route.method} {route.path.format_map(path)}"
        asked = Request[Any](
            self.services,
            self._agents,
            query,
            path,
            identity,
            address=request.remote or "",
            key=idempotency.key(request, route.key),
            if_version=conditions.if_match(request) if route.conditional else None,
            target=target,
            resume=resumed(request.headers.get("Last-Event-ID", "")) if route.streams else "",
        )
        if route.adapter and route.takes_query:
            account = identity.user_id if identity and route.access >= Access.CUSTOMER else None
            asked.page = paging.asked(self._seal, query, raw, f"{target} {account}")
        elif route.adapter and route.lines:
            asked.input = Lines(request, route.adapter, self.arriving)
        elif route.adapter:
            sent = await body.read(request, self.arriving, optional=route.input_optional, limit_bytes=route.body_bytes)
            asked.input = checked(route.adapter, sent)
        return asked

    def _count(self, request: web.Request, limit: RateLimit | None, caller: str) -> None:
        if limit is None:
            return
        standing, before = limit.take(caller), request.get(STANDING)
        if before is None or standing.remaining < before.remaining:
            request[STANDING] = standing
        if not standing.allowed:
            raise standing.refusal()


def respond(route: Route, answer: Answer[Any], request: web.Request) -> web.StreamResponse:
    """The answer of a handler as HTTP."""
    if isinstance(answer.body, web.StreamResponse):
        return answer.body
    headers = {"Content-Type": "application/json"}
    if answer.version is not None:
        headers["ETag"] = conditions.entity_tag(answer.version)
        if route.method == "GET" and conditions.unchanged(request, answer.version):
            return web.Response(status=304, headers=headers)
    if answer.location is not None:
        headers["Location"] = PREFIX + answer.location
    if answer.replayed:
        headers["Idempotent-Replayed"] = "true"
    if answer.body is None:
        del headers["Content-Type"]
        return web.Response(status=route.status, headers=headers)
    return web.Response(status=route.status, body=orjson.dumps(answer.body), headers=headers)


def traceparent(sent: str) -> str:
    """The caller's place in a trace (W3C Trace Context), or the beginning of a new one."""
    return sent if TRACEPARENT.fullmatch(sent) else f"00-{uuid4().hex}-{token_hex(8)}-01"


def resumed(sent: str) -> str:
    """The last event that a client says it has seen, if it can be the id of one."""
    return sent if EVENT_ID.fullmatch(sent) else ""


def network(address: str) -> str:
    """Whom an address stands for: itself, but of IPv6 the network of 64 bits that one household has to itself."""
    if ":" not in address:
        return address
    host = ipaddress.IPv6Address(address.partition("%")[0])
    return str(host.ipv4_mapped or ipaddress.ip_network(f"{host}/64", strict=False))
