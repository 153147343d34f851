"""The live figures over HTTP, for the gateway: as a document, and as a stream of documents. Knows no Kafka."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from soms.agents.views import STAFF, Question, view
from soms.tokens import Verifier


def routes(verifier: Verifier, document: Callable[[], dict[str, Any]]) -> list[web.RouteDef]:
    """The routes; `document` gives the figures as they are, or raises Unavailable."""

    async def live(_: Question) -> Any:
        return document()

    return [view("GET", "/live", verifier, STAFF, live)]
