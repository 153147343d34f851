"""The process `web`: serves REST in front of the services until SIGTERM or SIGINT, then leaves without losing a request."""

import logging

from soms import process
from soms.config import Settings
from soms.discovery import discovering, registered
from soms.process import Stop
from soms.rpc.client import connected
from soms.tokens import Verifier
from soms.web.agents import asking
from soms.web.app import create_app
from soms.web.gateway import Gateway
from soms.web.readiness import Readiness
from soms.web.server import listening

log = logging.getLogger(__name__)


async def serve(settings: Settings, stop: Stop) -> None:
    """Be a gateway until told to stop.

    The order of leaving: out of service in the registry, no new connections, answers under way, lease cancelled.
    """
    async with (
        discovering(settings) as directory,
        connected(settings, directory, caller="web", edge=True) as services,
        asking(directory) as agents,
    ):
        app = create_app(Gateway(settings, services, agents, Verifier(settings)), Readiness(services.probes))
        async with listening(app, settings.web_host, settings.web_port) as port, registered(settings, "GATEWAY", port, grpc=False) as lease:
            stop.ready()
            await lease.up()
            log.info("serving", extra={"url": f"http://{settings.web_host}:{port}"})
            await stop.wait()
            await lease.out_of_service()


if __name__ == "__main__":
    process.run("web", serve)
