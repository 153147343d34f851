"""A process that works on its own: until SIGTERM or SIGINT, registered, and with an HTTP port for health and figures. Knows no Kafka."""

import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest

from soms import process
from soms.config import Settings
from soms.discovery import registered
from soms.process import Stop

logger = logging.getLogger(__name__)


@dataclass
class Vitals:
    """How a process is: the parts it is ready with, by name, and its figures."""

    states: Callable[[], Mapping[str, bool]] = dict
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)


Working = Callable[[Settings], contextlib.AbstractAsyncContextManager[Vitals]]


def serve(service: str, working: Working) -> None:
    """Be the process of `service` (as `relay`) and do its work until told to stop."""
    process.run(service, lambda settings, stop: _serve(service, working, settings, stop))


async def _serve(service: str, working: Working, settings: Settings, stop: Stop) -> None:
    async with (
        working(settings) as vitals,
        listening(settings.host, vitals, settings.port) as port,
        registered(settings, f"{service.upper()}-SERVICE", port, grpc=False) as registration,
    ):
        stop.ready()
        await registration.up()
        logger.info("working", extra={"address": f"{settings.host}:{port}"})
        await stop.wait()
    logger.info("stopped")


@contextlib.asynccontextmanager
async def listening(host: str, vitals: Vitals, wish: int = 0, routes: Iterable[web.RouteDef] = ()) -> AsyncIterator[int]:
    """Answer `/healthz`, `/readyz`, `/metrics` and `routes` on port `wish` of `host`, or on a free one if that is taken; gives the port."""
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=vitals.registry)
    app = web.Application()
    app.add_routes([*routes, *(web.get(path, answer) for path, answer in _answers(vitals).items())])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, wish).start()
        except OSError:
            await web.TCPSite(runner, host, 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


def _answers(vitals: Vitals) -> dict[str, Callable[[web.Request], Awaitable[web.Response]]]:
    async def alive(_: web.Request) -> web.Response:
        return _json({"status": "alive"})

    async def ready(_: web.Request) -> web.Response:
        states = vitals.states()
        told = {name: "ready" if there else "away" for name, there in states.items()}
        well = all(states.values())
        return _json({"status": "ready" if well else "not ready", "dependencies": told}, 200 if well else 503)

    async def figures(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(vitals.registry), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    return {"/healthz": alive, "/readyz": ready, "/metrics": figures}


def _json(document: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json")
