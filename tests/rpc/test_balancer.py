"""Calls spread over instances: who gets them, what is made again and what never is."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from soms import errors
from soms.config import Settings
from soms.local import ports
from soms.rpc.client import Services, connected
from soms.rpc.gen.soms import v1
from soms.rpc.repetition import repeatable
from soms.rpc.server import serving

ORDER = "ORDER-SERVICE"
READ = v1.GetOrderRequest(id="x")


class Fleet:
    """Some instances of the order service, and stubs that know them all."""

    def __init__(self, servers: list[Any], echoes: list[Any], listing: Any, services: Services) -> None:
        self.servers, self.echoes, self.listing, self.services = servers, echoes, listing, services
        self.reached: Counter[int] = Counter()
        for number, echo in enumerate(echoes):
            echo.do = self.counted(number)

    def counted(self, number: int, then: Any = None) -> Any:
        """A method that counts a call at an instance, then does as told."""

        async def do(message: Any) -> Any:
            self.reached[number] += 1
            if then:
                await then(message)
            return v1.GetOrderResponse()

        return do

    def failing(self, error: Exception, *numbers: int) -> None:
        """Let these instances fail."""

        async def fail(message: Any) -> None:
            raise error

        for number in numbers:
            self.echoes[number].do = self.counted(number, fail)

    async def call(self, request: Any = READ, **how: Any) -> Any:
        """One call, of the method that takes such a request."""
        names = {v1.GetOrderRequest: "get_order", v1.CancelOrderRequest: "cancel_order"}
        return await getattr(self.services.as_service.orders, names[type(request)])(request, **how)


@asynccontextmanager
async def fleet_of(count: int, served: Any, listing: Any, *, edge: bool = True) -> AsyncIterator[Fleet]:
    """So many instances."""
    async with AsyncExitStack() as stack:
        echoes = [type(served.echo)() for _ in range(count)]
        servers = [await stack.enter_async_context(serving(echo, served.settings)) for echo in echoes]
        listing.put(ORDER, *(server.port for server in servers))
        services = await stack.enter_async_context(connected(served.settings, listing, "web", edge=edge))
        yield Fleet(servers, echoes, listing, services)


async def test_calls_are_spread(served: Any, listing: Any) -> None:
    """Every instance gets its share."""
    async with fleet_of(3, served, listing) as fleet:
        await asyncio.gather(*[fleet.call() for _ in range(300)])

    assert min(fleet.reached.values()) > 60


async def test_busy_instance_gets_fewer(served: Any, listing: Any) -> None:
    """An instance that is slow, and so has more calls under way, is spared."""
    async with fleet_of(2, served, listing) as fleet:
        fleet.echoes[0].do = fleet.counted(0, lambda _: asyncio.sleep(0.1))

        async def caller() -> None:
            for _ in range(10):
                await fleet.call()

        await asyncio.gather(*[caller() for _ in range(4)])

    assert fleet.reached[0] < 20 < fleet.reached[1]


async def test_dead_instance_costs_no_call(served: Any, listing: Any) -> None:
    """Calls to an instance that is not there are made elsewhere, changes too; it is left alone after the first of them."""
    async with fleet_of(1, served, listing, edge=False) as fleet:
        listing.put(ORDER, fleet.servers[0].port, ports.choose(1)[0])
        for _ in range(50):
            await fleet.call(v1.CancelOrderRequest())

    assert fleet.reached[0] == 50


async def test_draining_instance_costs_no_call(served: Any, listing: Any) -> None:
    """An instance that drains under load, changes included: every call is answered, once."""
    async with fleet_of(2, served, listing, edge=False) as fleet:
        for number, echo in enumerate(fleet.echoes):
            echo.do = fleet.counted(number, lambda _: asyncio.sleep(0.002))

        async def caller() -> None:
            for _ in range(50):
                await fleet.call(v1.CancelOrderRequest())

        callers = [asyncio.create_task(caller()) for _ in range(16)]
        await served.until(lambda: sum(fleet.reached.values()) > 200)
        await fleet.servers[0].drain(5)
        await asyncio.gather(*callers)

    assert sum(fleet.reached.values()) == 16 * 50


@pytest.mark.parametrize("edge", [True, False])
@pytest.mark.parametrize("request_", [READ, v1.CancelOrderRequest(), v1.CancelOrderRequest(v1.Change(idempotency_key="k"))])
async def test_unavailable_is_tried_again_where_that_is_safe(served: Any, listing: Any, request_: Any, *, edge: bool) -> None:
    """UNAVAILABLE is tried on another instance, at the edge alone, and only for what changes nothing when repeated."""
    async with fleet_of(2, served, listing, edge=edge) as fleet:
        fleet.failing(errors.Unavailable("database away", retry_after=1), 0, 1)
        with pytest.raises(errors.Unavailable) as caught:
            await fleet.call(request_)

    safe = edge and request_ != v1.CancelOrderRequest()
    assert caught.value.retry_after == 1
    assert sum(fleet.reached.values()) == (3 if safe else 1)


async def test_second_instance_helps_out(served: Any, listing: Any) -> None:
    """One instance without its database costs no read."""
    async with fleet_of(2, served, listing) as fleet:
        fleet.failing(errors.Unavailable(), 0)
        for _ in range(20):
            await fleet.call()


@pytest.mark.parametrize(
    "error", [errors.NotFound(), errors.Aborted(), errors.ResourceExhausted(), errors.DeadlineExceeded(), RuntimeError()]
)
async def test_other_errors_are_answers(served: Any, listing: Any, error: Exception) -> None:
    """What is an answer is not asked for again."""
    async with fleet_of(2, served, listing) as fleet:
        fleet.failing(error, 0, 1)
        with pytest.raises(errors.SomsError):
            await fleet.call()

    assert sum(fleet.reached.values()) == 1


async def test_broken_connection(served: Any, listing: Any) -> None:
    """A call whose connection breaks is made again if it is safe; one that is not says that nothing is known."""
    async with fleet_of(2, served, listing) as fleet:

        async def cut(_: Any) -> None:
            for protocol in fleet.servers[0]._protocols:
                protocol.transport.abort()
            await asyncio.Event().wait()

        fleet.echoes[0].do = fleet.counted(0, cut)
        for _ in range(10):
            await fleet.call()
        listing.put(ORDER, fleet.servers[0].port)
        with pytest.raises(errors.Unavailable):
            await fleet.call(v1.CancelOrderRequest())


async def test_outage_does_not_multiply_calls(served: Any, listing: Any) -> None:
    """When every instance refuses, the budget keeps repetitions to a tenth of the calls."""
    async with fleet_of(2, served, listing) as fleet:
        fleet.failing(errors.Unavailable(), 0, 1)
        results = await asyncio.gather(*[fleet.call() for _ in range(1000)], return_exceptions=True)

    assert all(isinstance(result, errors.Unavailable) for result in results)
    assert sum(fleet.reached.values()) <= 1000 + 100 + 32


async def test_tries_end_with_the_deadline(served: Any, listing: Any) -> None:
    """Trying again never takes more than the time there is."""
    async with fleet_of(2, served, listing) as fleet:

        async def slow(_: Any) -> None:
            await asyncio.sleep(0.15)
            raise errors.Unavailable

        for number in range(2):
            fleet.echoes[number].do = fleet.counted(number, slow)
        started = time.monotonic()
        with pytest.raises((errors.DeadlineExceeded, errors.Unavailable)):
            await fleet.call(timeout=0.25)

    assert time.monotonic() - started < 0.4


async def test_instance_that_leaves_the_registry_finishes_its_calls(served: Any, listing: Any) -> None:
    """A removed instance gets nothing new, answers what is under way, and then loses its connection."""
    release = asyncio.Event()
    async with fleet_of(2, served, listing) as fleet:
        fleet.echoes[0].do = fleet.counted(0, lambda _: release.wait())
        listing.put(ORDER, fleet.servers[0].port)
        call = asyncio.create_task(fleet.call())
        await served.until(lambda: fleet.reached[0] == 1)
        listing.put(ORDER, fleet.servers[1].port)
        await asyncio.gather(*[fleet.call() for _ in range(20)])
        assert (fleet.reached[0], len(fleet.servers[0]._protocols)) == (1, 1)
        release.set()
        await call
        await served.until(lambda: not fleet.servers[0]._protocols)


async def test_nobody_can_be_reached(listing: Any, plain_settings: Settings) -> None:
    """The registry is asked what it knows, and the answer is quick."""
    async with connected(plain_settings, listing, "web") as services:
        listing.put(ORDER, ports.choose(1)[0])
        listing.pulse._soon.clear()
        started = time.monotonic()
        with pytest.raises(errors.Unavailable) as caught:
            await services.orders.get_order(READ)

    assert listing.pulse._soon.is_set()
    assert caught.value.retry_after == 1
    assert time.monotonic() - started < 0.5


@pytest.mark.parametrize(
    ("method", "message", "expected"),
    [
        ("GetOrder", READ, True),
        ("ListOrders", v1.ListOrdersRequest(), True),
        ("PlaceOrder", v1.PlaceOrderRequest(idempotency_key="k"), True),
        ("PayOrder", v1.PayOrderRequest(v1.Change(id="x")), False),
        ("PayOrder", v1.PayOrderRequest(v1.Change(id="x", idempotency_key="k")), True),
        ("PayOrder", v1.PayOrderRequest(), False),
        ("AdjustStock", v1.AdjustStockRequest(), False),
        ("AdjustStock", v1.AdjustStockRequest(idempotency_key="k"), True),
        ("ReserveStock", v1.ReserveStockRequest(), True),
        ("Login", v1.LoginRequest(), False),
        ("RefreshToken", v1.RefreshTokenRequest(), True),
        ("UpdateUser", v1.UpdateUserRequest(if_version=1), False),
    ],
)
def test_what_may_be_repeated(method: str, message: Any, *, expected: bool) -> None:
    """Reads, what is idempotent by its ids, and changes under a key."""
    assert repeatable(f"/soms.v1.Service/{method}", message) is expected
