"""Runs a servicer as a process of SOMS: checks callers, keeps deadlines, maps errors, counts and logs every call.

A servicer subclasses the generated base, declares who may call each method, raises what `soms.errors` names, and asks
`context.caller()` who is calling; an async context manager opens what it needs and yields it:

    class OrderServicer(v1.OrderServiceBase):
        @allows("customer", "service")
        async def get_order(self, message: v1.GetOrderRequest) -> v1.GetOrderResponse: ...

    if __name__ == "__main__":
        serve("order", order_service)  # order_service(settings, directory) yields an OrderServicer
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Final

from betterproto2.grpclib import ServiceBase

from soms import process
from soms.config import Settings
from soms.discovery import Directory, Registration, discovering, registered
from soms.process import Stop
from soms.rpc.answering import Server

Servicing = Callable[[Settings, Directory], contextlib.AbstractAsyncContextManager[ServiceBase]]
# longer than it takes another process to fetch the registry again
NOTICE_SECONDS: Final = 2.5
GRACE_SECONDS: Final = 10.0
logger = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def serving(servicer: ServiceBase, settings: Settings) -> AsyncIterator[Server]:
    """Serve on the address and port of `settings`; at the end calls under way are ended, unless `drain` came first."""
    server = Server(servicer, settings)
    async with server.listening(settings.host, settings.port):
        server.health.set(True)
        yield server


def serve(service: str, servicing: Servicing) -> None:
    """Be the process of `service` (as `order`) until SIGTERM or SIGINT, then leave without losing a call.

    The order of leaving: not healthy, out of service in the registry, a while for its readers to notice, refuse what is new,
    finish what is under way, close.
    """
    process.run(service, lambda settings, stop: _serve(service, servicing, settings, stop))


async def _serve(service: str, servicing: Servicing, settings: Settings, stop: Stop) -> None:
    async with contextlib.AsyncExitStack() as stack:
        directory = await stack.enter_async_context(discovering(settings))
        servicer = await stack.enter_async_context(servicing(settings, directory))
        server = await stack.enter_async_context(serving(servicer, settings))
        registration = await stack.enter_async_context(registered(settings, f"{service.upper()}-SERVICE", server.port))
        stop.ready()
        await registration.up()
        logger.info("serving", extra={"address": f"{settings.host}:{server.port}"})
        await stop.wait()
        await _leave(server, registration)


async def _leave(server: Server, registration: Registration) -> None:
    server.health.set(False)
    await registration.out_of_service()
    await server.abandoned(NOTICE_SECONDS)
    await server.drain(GRACE_SECONDS)
    logger.info("every call is answered")
