"""The analytics service with groups and a topic of its own; history where WORKER_HISTORY asks for it.

WORKER_TWIN names what is to be left out.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import faust

from soms.agents.analytics import counting
from soms.agents.history import History
from soms.agents.strict import StrictConsumer
from soms.agents.table import FencedTable
from soms.agents.worker import Worker, run
from soms.models.database import reachable
from soms.tokens import Verifier


async def uncommitted(_consumer: StrictConsumer, *_: Any, **_more: Any) -> bool:
    """Commit nothing, so that whoever comes after a kill reads all of it again."""
    return False


def unfenced(table: FencedTable, told: Mapping[tuple[str, float], Sequence[tuple[int, Any]]], update: Any) -> None:
    """Count again what counts already."""
    event = faust.current_event()
    assert event
    assert table.window
    for (metric, start), contents in told.items():
        before = table.value(metric, event.message.partition, start)
        after = update(before, [content for _, content in contents])
        table[f"{metric}|{event.message.partition}", table.window.current(start)] = {**after, "o": contents[-1][0]}


@contextlib.asynccontextmanager
async def analysing(worker: Worker) -> AsyncIterator[None]:
    """What the test wants of it."""
    name, topic = os.environ["WORKER_SERVICE"], os.environ["WORKER_TOPIC"]
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(counting(worker, Verifier(worker.settings), topic))
        if "WORKER_HISTORY" in os.environ:
            await stack.enter_async_context(reachable(worker.settings, "analytics"))
            await stack.enter_async_context(History(worker.settings, topic, f"{name}.history", name).pulse.running(3))
        yield


if __name__ == "__main__":
    twins = os.environ.get("WORKER_TWIN", "").split()
    if "uncommitted" in twins:
        StrictConsumer._commit_offsets = uncommitted  # type: ignore[method-assign,assignment] # as if killed before it
    if "unfenced" in twins:
        FencedTable.fold_all = unfenced  # type: ignore[method-assign,assignment]
    run(os.environ["WORKER_SERVICE"], analysing)
