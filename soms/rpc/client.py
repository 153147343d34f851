"""The other services, as stubs: found by the directory, balanced, within the deadline and in the name of the caller.

    async with connected(settings, directory, caller="order") as services:
        answer = await services.orders.get_order(v1.GetOrderRequest(id=...))  # shows the token of the call under way
        await services.as_service.products.reserve_stock(...)  # shows a token of service `order`

The deadline, the token, the request id and the traceparent are those of the call under way (`context`, set by the server or
by `with calling(Call(...))`); without one a call has two seconds and no token. Errors are those of `soms.errors`. The edge of
the system (`edge=True`, the gateway) also repeats calls that broke, where that is safe.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Self, cast

from grpclib.client import Channel
from grpclib.const import Cardinality
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.metadata import Deadline

from soms import tokens
from soms.config import Settings
from soms.discovery import Directory
from soms.rpc import context
from soms.rpc.balancer import Balancer, Outgoing
from soms.rpc.context import Call, calling
from soms.rpc.gen.soms import v1

__all__ = ["Call", "Services", "calling", "connected"]
Token = Callable[[], str | None]
Probe = Callable[[], Awaitable[bool]]


class Stubs(NamedTuple):
    """A stub for each service."""

    users: v1.UserServiceStub
    products: v1.ProductServiceStub
    orders: v1.OrderServiceStub


class Services(NamedTuple):
    """Stubs that call in the name of the caller; `as_service` holds those that call in the name of this process.

    `probes` ask, by process name (as `order`), whether the instance that a call would go to says it serves; they raise SomsError.
    """

    users: v1.UserServiceStub
    products: v1.ProductServiceStub
    orders: v1.OrderServiceStub
    as_service: Stubs
    probes: Mapping[str, Probe]


class BalancedChannel:
    """What a generated stub takes for a grpclib channel."""

    def __init__(self, balancer: Balancer, token: Token) -> None:
        """Call through `balancer`, showing what `token` gives at the time of the call."""
        self._balancer, self._token = balancer, token

    def request(
        self,
        name: str,
        cardinality: Cardinality,
        request_type: type,
        reply_type: type,
        *,
        timeout: float | None = None,
        deadline: Deadline | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
    ) -> contextlib.AbstractAsyncContextManager[Any]:
        """A call that takes at most `timeout` seconds, and no longer than the call under way may."""
        until = _until(timeout, deadline)
        call = Outgoing(name, cardinality, request_type, reply_type, until, {**_passed_on(self._token()), **(metadata or {})})
        return UnaryCall(self._balancer, call) if cardinality is Cardinality.UNARY_UNARY else self._balancer.stream(call)


class UnaryCall:
    """What a generated stub takes for the stream of a unary call; it is made when its answer is asked for."""

    def __init__(self, balancer: Balancer, call: Outgoing) -> None:
        """Nothing is sent yet."""
        self._balancer, self._call, self._message = balancer, call, None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is left to end."""

    async def send_message(self, message: Any, *, end: bool = False) -> None:
        """Keep the message."""
        self._message = message

    async def recv_message(self) -> Any:
        """Make the call; its answer."""
        return await self._balancer.call(self._call, self._message)


@contextlib.asynccontextmanager
async def connected(settings: Settings, directory: Directory, caller: str, *, edge: bool = False) -> AsyncIterator[Services]:
    """Stubs for all services, for the process `caller`; connections are made when needed and closed at the end."""
    with contextlib.ExitStack() as stack:
        balancers = [
            stack.enter_context(contextlib.closing(Balancer(name, directory, edge=edge)))
            for name in ("USER-SERVICE", "PRODUCT-SERVICE", "ORDER-SERVICE")
        ]
        probes = {name: _probe(balancer) for name, balancer in zip(("user", "product", "order"), balancers, strict=True)}
        yield Services(*_stubs(balancers, _own_token), _stubs(balancers, lambda: tokens.service_token(settings, caller)), probes)


def _stubs(balancers: list[Balancer], token: Token) -> Stubs:
    channels: list[Any] = [BalancedChannel(balancer, token) for balancer in balancers]
    return Stubs(v1.UserServiceStub(channels[0]), v1.ProductServiceStub(channels[1]), v1.OrderServiceStub(channels[2]))


def _probe(balancer: Balancer) -> Probe:
    health = HealthStub(cast("Channel", BalancedChannel(balancer, lambda: None)))

    async def serving() -> bool:
        answer = await health.Check(HealthCheckRequest())
        return bool(answer.status == HealthCheckResponse.SERVING)

    return serving


def _own_token() -> str | None:
    call = context.current()
    return call and call.token


def _passed_on(token: str | None) -> dict[str, str]:
    call = context.current()
    found = {
        "authorization": token and f"Bearer {token}",
        "x-request-id": call and call.request_id,
        "traceparent": call and call.traceparent,
    }
    return {name: value for name, value in found.items() if value}


def _until(timeout_seconds: float | None, deadline: Deadline | None) -> float:
    call, now = context.current(), time.monotonic()
    limits = [call.deadline] if call else []
    if timeout_seconds is not None:
        limits.append(now + timeout_seconds)
    if deadline is not None:
        limits.append(now + deadline.time_remaining())
    return min(limits, default=now + context.DEFAULT_SECONDS)
