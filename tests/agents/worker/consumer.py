"""A consumer for tests: each event says in its `name` what its handler has to do; what was done is noted in a file.

Run with WORKER_SERVICE, WORKER_TOPIC, WORKER_LOG, WORKER_LIMIT (seconds), WORKER_STORE (`database`, `table` or nothing) and, for
a protection that is to be left out, WORKER_TWIN.
"""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import faust

from soms.agents.guard import Guard
from soms.agents.lanes import Lanes
from soms.agents.strict import StrictConsumer
from soms.agents.table import FencedTable
from soms.agents.worker import Patience, Worker, run
from soms.envelope import Envelope
from soms.errors import InvalidArgument, Unavailable
from soms.models.database import connected, fetch
from soms.models.inbox import once_per_event

SERVICE, TOPIC = os.environ["WORKER_SERVICE"], os.environ["WORKER_TOPIC"]
LOG = os.open(os.environ["WORKER_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
EFFECT = "insert into price (sku, price, currency) values ($1, 1, 'GBP')"
TWIN = os.environ.get("WORKER_TWIN")
failed: Counter[str] = Counter()


def note(what: str) -> None:
    """Write down what happens to the event under way, past any buffer."""
    event = faust.current_event()
    assert event
    os.write(LOG, f"{what} {event.message.partition} {event.message.offset} {os.getpid()} {time.time()}\n".encode())


async def handle(envelope: Envelope) -> None:
    """Do as the event says."""
    event: Any = envelope.event
    note("begin")
    match event.name.split():
        case ["work", seconds]:
            await asyncio.sleep(float(seconds))
        case ["fail", times] if failed[envelope.key] < int(times):
            failed[envelope.key] += 1
            raise RuntimeError("as told")
        case ["hopeless"]:
            raise InvalidArgument("makes no sense", reason="out_of_range")
        case ["hang"]:
            await asyncio.sleep(3600)
        case ["block"]:
            time.sleep(3600)  # noqa: ASYNC251 - a handler that stops the loop is what is tested
        case ["away"]:
            raise Unavailable("as told")
    note("done")


async def stored(envelope: Envelope) -> None:
    """The same, with an effect in the database, once."""

    async def effect() -> None:
        await fetch("products", EFFECT, envelope.key)

    await handle(envelope)
    if TWIN == "receiptless":
        await effect()
    else:
        note("new" if await once_per_event("products", SERVICE, envelope, effect) else "again")


async def there() -> bool:
    """Whether the database answers."""
    return bool(await fetch("products", "select 1"))


@contextlib.asynccontextmanager
async def consumer(worker: Worker) -> AsyncIterator[None]:
    """Handlers as the environment wants them."""
    async with contextlib.AsyncExitStack() as stack:
        match os.environ.get("WORKER_STORE"):
            case "database":
                await stack.enter_async_context(connected(worker.settings, "products"))
                worker.consume(TOPIC, stored, probe=there)
            case "table":
                table = worker.app.Table("counts", default=dict)
                window = table.tumbling(3600.0, expires=7200.0).relative_to_stream()

                async def count(envelope: Envelope) -> None:
                    await handle(envelope)
                    note("new" if table.fold(window, "seen", lambda old: {"n": old.get("n", 0) + 1}) else "again")

                worker.consume(TOPIC, count)
            case _:
                worker.consume(TOPIC, handle, patience=Patience(attempt_seconds=1))
        yield


def break_in(twin: str | None) -> None:
    """Take a protection away."""
    match twin:
        case "hasty":  # commits what is delivered, not what is finished
            StrictConsumer._new_offset = lambda self, tp: self._next.get(tp)  # type: ignore[method-assign]
        case "forgetful":  # lets partitions go without a commit
            StrictConsumer.wait_empty = at_once  # type: ignore[method-assign]
        case "idle":  # never begins
            Lanes.put = for_ever  # type: ignore[method-assign]
        case "mistaken":  # has a mistake of its own
            Guard._outcome = mistaken  # type: ignore[method-assign]
        case "unfenced":  # counts whatever it reads
            FencedTable.fold = unfenced  # type: ignore[method-assign]


async def at_once(consumer: StrictConsumer) -> None:
    """Wait for nothing."""
    consumer.draining.set()
    consumer._next.clear()


async def for_ever(lanes: Lanes, event: object) -> None:
    """Do nothing."""
    await asyncio.sleep(3600)


async def mistaken(guard: Guard, event: object) -> str:
    """Go wrong."""
    raise ZeroDivisionError


def unfenced(table: FencedTable, window: Any, metric: str, update: Any) -> bool:
    """Count again what counts already."""
    event = faust.current_event()
    assert event
    key = f"{metric}|{event.message.partition}"
    window[key] = {**update(window[key].current() or {}), "o": event.message.offset}
    return True


if __name__ == "__main__":
    break_in(TWIN)
    run(SERVICE, consumer, limit_seconds=float(os.environ.get("WORKER_LIMIT", "60")))
