"""A consumer for tests: each event says in its `name` what its handler has to do; what was done is noted in a file.

Run with WORKER_SERVICE, WORKER_TOPIC, WORKER_LOG, WORKER_LIMIT (seconds) and WORKER_STORE (`database`, `table` or nothing).
"""

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import faust

from soms.agents.worker import Patience, Worker, run
from soms.envelope import Envelope
from soms.errors import InvalidArgument, Unavailable
from soms.models.database import connected, fetch
from soms.models.inbox import once_per_event

SERVICE, TOPIC = os.environ["WORKER_SERVICE"], os.environ["WORKER_TOPIC"]
LOG = os.open(os.environ["WORKER_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
EFFECT = "insert into price (sku, price, currency) values ($1, 1, 'GBP')"
failed: Counter[str] = Counter()


def note(what: str) -> None:
    """Write down what happens to the event under way, past any buffer."""
    event = faust.current_event()
    assert event
    os.write(LOG, f"{what} {event.message.partition} {event.message.offset} {time.time()}\n".encode())


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


if __name__ == "__main__":
    run(SERVICE, consumer, limit_seconds=float(os.environ.get("WORKER_LIMIT", "60")))
