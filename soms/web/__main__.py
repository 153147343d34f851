"""The process `web`: serves REST in front of the services until SIGTERM or SIGINT, then leaves without losing a request."""

import asyncio
import logging
import signal

import uvloop

from soms import config
from soms import logging as soms_logging
from soms.config import Settings
from soms.discovery import discovering, registered
from soms.errors import SomsError
from soms.rpc.client import connected
from soms.tokens import Verifier
from soms.web.app import create_app
from soms.web.gateway import Gateway
from soms.web.readiness import Readiness
from soms.web.server import listening

log = logging.getLogger(__name__)


async def serve(settings: Settings, stopping: asyncio.Event) -> None:
    """Be a gateway until `stopping` is set.

    The order of leaving: out of service in the registry, no new connections, answers under way, lease cancelled.
    """
    async with discovering(settings) as directory, connected(settings, directory, caller="web", edge=True) as services:
        app = create_app(Gateway(settings, services, Verifier(settings)), Readiness(services.probes))
        async with listening(app, settings.web_host, settings.web_port) as port, registered(settings, "GATEWAY", port, grpc=False) as lease:
            await lease.up()
            log.info("serving", extra={"url": f"http://{settings.web_host}:{port}"})
            await stopping.wait()
            await lease.out_of_service()


async def _until_stopped(settings: Settings) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    await serve(settings, stopping)


def main() -> None:
    """Run with the settings of the environment."""
    settings = config.settings()
    soms_logging.setup("web", settings.log_level)
    try:
        uvloop.run(_until_stopped(settings))
    except SomsError as error:
        log.critical("cannot serve: %s", error.message)
        raise SystemExit(1) from error


if __name__ == "__main__":
    main()
