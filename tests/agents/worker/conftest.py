"""A consumer group with a topic of its own on the real broker: who feeds it, its worker processes, and what they noted."""

import asyncio
import contextlib
import datetime as dt
import os
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.errors import KafkaError

from soms import envelope
from soms.agents import topics
from soms.agents.lag import Place, places
from soms.config import Settings
from soms.events import StockLow
from soms.local import postgres
from soms.local.child import Child
from soms.models.schema import migrate

Spot = tuple[int, int]
PROGRAMS = Path(__file__).parent
ROOT = PROGRAMS.parents[2]


class Group:
    """A consumer group `name` that reads a topic of its own."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.name = f"group-{uuid.uuid4().hex[:8]}"
        self.topic, self.dead = f"{self.name}.topic", topics.dead_letters(self.name)
        self.children: list[Child] = []
        self.said: list[str] = []
        self.variables: dict[str, str] = {}
        self.fed: dict[str, Spot] = {}

    @property
    def bootstrap(self) -> str:
        """Where the broker is."""
        return str(self.settings.kafka)

    async def create(self) -> None:
        """Make the topics."""
        async with topics.administration(self.bootstrap) as admin:
            await admin.create_topics([NewTopic(name, topics.PARTITIONS, 1) for name in (self.topic, self.dead)])
        await topics.wait_for(self.settings, [self.topic, self.dead])

    async def start(self, *arguments: str, program: str = "consumer.py") -> Child:
        """Another worker; what it says is kept in `said`."""
        environment = os.environ | {
            "SOMS_HOME": str(self.folder),
            "SOMS_KAFKA": self.bootstrap,
            "SOMS_EUREKA": str(self.settings.eureka),
            "SOMS_POSTGRES": str(self.settings.postgres),
            "SOMS_SECRETS_FOLDER": str(self.settings.home / "secrets"),
            "WORKER_SERVICE": self.name,
            "WORKER_TOPIC": self.topic,
            "WORKER_LOG": str(self.folder / "notes"),
            "PYTHONPATH": str(ROOT),
        }
        command = (sys.executable, str(PROGRAMS / program), *arguments)
        self.children.append(await Child.spawn(command, environment | self.variables, self.said.append))
        return self.children[-1]

    async def feed(self, names: Iterable[str], *, every_seconds: float = 0) -> None:
        """Write an event for each of `names`, under keys k0, k1, ...; `fed` tells where each lies."""
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5) as producer:
            sending: dict[str, Any] = {}
            for name in names:
                key = f"k{len(self.fed) + len(sending)}"
                event = StockLow(version=1, sku=key, name=name, available=1, low_threshold=2)
                headers = envelope.headers(uuid.uuid4(), event.type, "/test", dt.datetime.now(dt.UTC))
                sending[key] = await producer.send(self.topic, event.payload.encode(), key=key.encode(), headers=headers)
                if every_seconds:
                    await asyncio.sleep(every_seconds)
            for key, future in sending.items():
                record = await future
                self.fed[key] = (record.partition, record.offset)

    async def put(self, value: bytes | None, key: bytes | None = b"key", headers: list[tuple[str, bytes]] | None = None) -> Spot:
        """Write a record as it is."""
        async with AIOKafkaProducer(bootstrap_servers=self.bootstrap) as producer:
            record = await producer.send_and_wait(self.topic, value, key=key, headers=headers or [])
        return record.partition, record.offset

    async def records(self, topic: str) -> list[Any]:
        """All that lies in a topic, by partition."""
        found = []
        async with AIOKafkaConsumer(bootstrap_servers=self.bootstrap, auto_offset_reset="earliest") as consumer:
            spots = [TopicPartition(topic, partition) for partition in range(topics.PARTITIONS)]
            consumer.assign(spots)
            ends = await consumer.end_offsets(spots)
            while any([await consumer.position(spot) < ends[spot] for spot in spots]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
        return found

    async def places(self) -> dict[TopicPartition, Place]:
        """Where the group stands; nowhere while it has no coordinator yet."""
        with contextlib.suppress(KafkaError):
            return await places(self.bootstrap, self.name, [(self.topic, partition) for partition in range(topics.PARTITIONS)])
        return {}

    async def through(self) -> bool:
        """Whether all is committed."""
        found = await self.places()
        return bool(found) and not any(place.behind for place in found.values())

    def noted(self, what: str, by: Child | None = None) -> Counter[Spot]:
        """How often a handler noted this, or the handlers of one worker did, by partition and offset."""
        file = self.folder / "notes"
        notes = [line.split() for line in file.read_text().splitlines()] if file.exists() else []
        pid = str(by.process.pid) if by else None
        return Counter((int(note[1]), int(note[2])) for note in notes if note[0] == what and pid in {None, note[3]})

    async def uncommitted(self, worker: Child) -> int:
        """How many events a worker has done without a commit."""
        committed = {place.partition: one.committed for place, one in (await self.places()).items()}
        return sum(offset >= committed.get(partition, offset + 1) for partition, offset in self.noted("done", worker))

    def lost(self) -> set[Spot]:
        """Where events lie that were never handled to the end."""
        return set(self.fed.values()) - set(self.noted("done"))

    def told(self, message: str) -> list[str]:
        """The lines of log with this in it."""
        return [line for line in self.said if message in line]


@pytest.fixture
async def group(stack: Settings, tmp_path: Path) -> AsyncIterator[Group]:
    """A group; its workers are ended at the end."""
    made = Group(stack, tmp_path)
    await made.create()
    yield made
    for child in made.children:
        await child.stop(grace_seconds=0)


@pytest.fixture
async def database(group: Group, tmp_path: Path) -> AsyncIterator[postgres.Postgres]:
    """A PostgreSQL of the test's own, that it may stop; the group's handlers write there."""
    async with postgres.running(tmp_path / "database", fsync="off") as server:
        group.settings = group.settings.model_copy(update={"home": tmp_path, "postgres": server.dsn})
        await migrate(group.settings)
        group.variables["WORKER_STORE"] = "database"
        yield server


@pytest.fixture
def effects(database: postgres.Postgres) -> Callable[[], Awaitable[tuple[int, int]]]:
    """How many effects there are, and of how many events."""

    async def count() -> tuple[int, int]:
        connection = await asyncpg.connect(database.dsn)
        row = await connection.fetchrow("select count(*), count(distinct sku) from products.price")
        await connection.close()
        return row[0], row[1]

    return count


@pytest.fixture
def until(eventually: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """A waiter for conditions, plain or to be awaited, with a limit in seconds."""

    async def wait(condition: Callable[[], Any], seconds: float = 45) -> None:
        async def check() -> object:
            found = condition()
            return await found if asyncio.iscoroutine(found) else found

        await eventually(check, seconds)

    return wait
