"""The other services, as stubs: found by the directory, balanced, within the deadline and in the name of the caller.

    async with connected(settings, directory, caller="order") as services:
        answer = await services.orders.get_order(v1.GetOrderRequest(id=...))  # shows the token of the call under way
        await services.as_service.products.reserve_stock(...)  # shows a token of service `order`

The deadline, the token, the request id and the traceparent are those of the call under way (`context`, set by the server or
by `with calling(Call(...))`); without one a call has two seconds and no token. Errors are those of `soms.errors`. The edge of
the system (`edge=True`, the gateway) also repeats calls that broke, where that is safe.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, NamedTuple, cast

from grpclib.client import Channel
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from soms import tokens
from soms.config import Settings
from soms.discovery import Directory
from soms.rpc import context
from soms.rpc.balanced import BalancedChannel, Token
from soms.rpc.balancer import Balancer
from soms.rpc.context import Call, calling
from soms.rpc.gen.soms import v1

__all__ = ["Call", "Services", "calling", "connected"]
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
