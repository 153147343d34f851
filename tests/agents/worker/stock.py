"""The same consumer on Faust as it comes: the broken twin. Events do as they say, and what was done is noted in the same way."""

import asyncio
import os
import sys
from collections import Counter

import faust
import orjson
from faust.types import StreamT

from soms.config import Settings

SERVICE, TOPIC = os.environ["WORKER_SERVICE"], os.environ["WORKER_TOPIC"]
LOG = os.open(os.environ["WORKER_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
SLOT = os.environ.get("WORKER_SLOT", "0")
failed: Counter[str] = Counter()
settings = Settings()
app = faust.App(
    SERVICE,
    broker=f"kafka://{settings.kafka}",
    datadir=str(settings.home / f"stock-{SLOT}"),
    topic_partitions=12,
    web_enabled=False,
    broker_session_timeout=10,
    broker_commit_interval=1.0,
)
source = app.topic(TOPIC, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
table = app.Table("counts", default=int)


def note(what: str, message: object) -> None:
    """Write down what happens, past any buffer."""
    os.write(LOG, f"{what} {message.partition} {message.offset} {os.getpid()}\n".encode())  # type: ignore[attr-defined]


@app.agent(source)
async def agent(stream: StreamT[bytes]) -> None:
    """Do as the events say."""
    async for event in stream.events():
        found = orjson.loads(event.value)
        note("begin", event.message)
        match found["name"].split():
            case ["work", seconds]:
                await asyncio.sleep(float(seconds))
            case ["fail", times] if failed[found["sku"]] < int(times):
                failed[found["sku"]] += 1
                raise RuntimeError("as told")
            case ["hang"]:
                await asyncio.sleep(3600)
        if os.environ.get("WORKER_STORE") == "table":
            table[f"seen|{event.message.partition}"] += 1
        note("done", event.message)


if __name__ == "__main__":
    sys.argv[1:] = ["worker", "-l", "warn", "--without-web"]
    app.main()
