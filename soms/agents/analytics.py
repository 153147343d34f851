"""The analytics service: `python -m soms.agents.analytics`. Counts orders as they come, and answers for what all workers counted."""

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, Final
from zoneinfo import ZoneInfo

from soms.agents import live, live_views
from soms.agents.board import Board
from soms.agents.worker import Worker, run
from soms.envelope import Envelope
from soms.events import OrderEvent
from soms.tokens import Verifier

CONSUMER: Final = "analytics"


@contextlib.asynccontextmanager
async def analysing(worker: Worker) -> AsyncIterator[None]:
    """Give the worker its tables, handlers and routes."""
    settings, board = worker.settings, Board()
    zone = ZoneInfo(settings.time_zone)

    def document() -> dict[str, Any]:
        return live.document(board, time.time(), zone, 0.0)

    async def handle(_: Envelope) -> None:
        pass

    worker.consume(OrderEvent.topic, handle)
    worker.routes += live_views.routes(Verifier(settings), document)
    yield


if __name__ == "__main__":
    run(CONSUMER, analysing)
