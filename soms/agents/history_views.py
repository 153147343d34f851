"""History over HTTP, for the gateway: staff ask for figures of a range. Adds nothing up itself."""

from aiohttp import web

from soms.tokens import Verifier


def routes(verifier: Verifier) -> list[web.RouteDef]:
    """The routes."""
    return []
