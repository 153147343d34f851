"""A process that counts orders by minute: `python -m bench.counter ours|stock GROUP`, the latter on Faust as it comes. Knows no bench."""

import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import faust
import orjson
from faust.types import StreamT

from soms.agents.analytics import counting
from soms.agents.worker import Worker, run
from soms.config import Settings
from soms.tokens import Verifier


def ours(group: str) -> None:
    """All live windows."""

    @contextlib.asynccontextmanager
    async def build(worker: Worker) -> AsyncIterator[None]:
        async with counting(worker, Verifier(worker.settings), f"{group}.orders"):
            yield

    sys.argv[1:] = []
    run(group, build)


def stock(group: str) -> None:
    """One table of one window, one event at a time."""
    settings = Settings()
    folder = settings.home / group
    Path(folder).mkdir(parents=True, exist_ok=True)
    app = faust.App(group, broker=f"kafka://{settings.kafka}", datadir=str(folder), topic_partitions=12, web_enabled=False)
    source = app.topic(f"{group}.orders", key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    table = app.Table("minutes", default=int, partitions=12).tumbling(60.0, expires=3600.0).relative_to_stream()

    @app.agent(source)
    async def count(stream: StreamT[bytes]) -> None:
        async for event in stream.events():
            table[f"orders|{event.message.partition}"] += len(orjson.loads(event.value)["lines"]) and 1

    sys.argv[1:] = ["worker", "-l", "warn", "--without-web"]
    app.main()


if __name__ == "__main__":
    {"ours": ours, "stock": stock}[sys.argv[1]](sys.argv[2])
