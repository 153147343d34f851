"""The analytics service: `python -m soms.agents.analytics`. Counts orders as they come, and answers for what all workers counted.

Live windows need Kafka alone, history needs the database too; each goes on while the other waits.
"""

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any, Final
from zoneinfo import ZoneInfo

from aiokafka.admin import NewTopic

from soms.agents import findings, history_views, live, live_views, topics
from soms.agents.board import Board
from soms.agents.broadcast import Broadcast
from soms.agents.following import Following
from soms.agents.history import history
from soms.agents.windows import KEPT, Windows, changelog
from soms.agents.worker import Worker, run
from soms.errors import Unavailable
from soms.events import OrderEvent
from soms.pulse import Pulse
from soms.tokens import Verifier

CONSUMER: Final = "analytics"
SWEEP_SECONDS: Final = 30.0


@contextlib.asynccontextmanager
async def analysing(worker: Worker) -> AsyncIterator[None]:
    """All of it."""
    verifier = Verifier(worker.settings)
    worker.routes += [*history_views.routes(verifier), *findings.routes(verifier)]
    async with counting(worker, verifier, OrderEvent.topic), history(worker.settings), findings.findings(worker.settings):
        yield


@contextlib.asynccontextmanager
async def counting(worker: Worker, verifier: Verifier, source: str) -> AsyncIterator[None]:
    """Live windows of the orders told in `source`: tables, handler and routes for the worker, and a board beside it."""
    windows, figures = Windows(worker.app), Figures(worker, source)
    await _provide(worker, windows)
    worker.fold(source, windows)
    worker.routes += live_views.routes(verifier, figures.document, figures.broadcast)
    worker.parts["board"] = lambda: figures.following.ready

    async def sweep() -> None:
        windows.sweep()
        figures.sweep()

    async with figures.following.pulse.running(), figures.broadcast.pulse.running(), Pulse("sweeping", sweep, SWEEP_SECONDS).running():
        yield


async def _provide(worker: Worker, windows: Windows) -> None:
    """Make the changelogs, and wait until they are known.

    Faust would make them too, but not wait: a leader of the group that does not know them yet hands out partitions without them, and
    then a worker restores nothing.
    """
    names, conf = {changelog(worker.app, name): table for name, table in windows.tables.items()}, worker.app.conf
    copies, safe = conf.topic_replication_factor, {"min.insync.replicas": str(min(conf.topic_replication_factor, 2))}
    new = [NewTopic(name, topics.PARTITIONS, copies, topic_configs=table.settings | safe) for name, table in names.items()]
    async with topics.administration(worker.settings.kafka or "") as admin:
        await admin.create_topics(new)  # those that are there stay as they are
    await topics.wait_for(worker.settings, list(names))


class Figures:
    """What all workers counted, and whoever wants to hear of it."""

    def __init__(self, worker: Worker, source: str) -> None:
        """Of the orders told in `source`."""
        self._zone = ZoneInfo(worker.settings.time_zone)
        self._board = Board()
        self.broadcast = Broadcast("live", self.document)
        changelogs = {changelog(worker.app, name): name for name in KEPT}
        self.following = Following(
            worker.settings.kafka or "", worker.app.conf.id, source, changelogs, self._board, changed=self.broadcast.pulse.soon
        )

    def document(self) -> dict[str, Any]:
        """The live document. Raises Unavailable before the board is whole."""
        if not self.following.ready:
            raise Unavailable("the live figures are being read", retry_after=1)
        now = time.time()
        return live.document(self._board, now, self._zone, self.following.lag_seconds(now))

    def sweep(self) -> None:
        """Forget what is shown nowhere any more."""
        for name, kept in KEPT.items():
            self._board.sweep(name, time.time() - kept)


if __name__ == "__main__":
    run(CONSUMER, analysing)
