"""One real broker for all tests here, with our topics, beside the PostgreSQL of the run; what was told on it, and who tells."""

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import ConsumerRecord, TopicPartition

from soms.agents import topics
from soms.config import Settings
from soms.local import ports
from soms.local.child import Child
from soms.local.kafka import Kafka
from soms.local.postgres import Postgres
from soms.models.database import fetch, transaction

WRITE = "insert into outbox (type, topic, key, payload) values ('soms.order.paid.v1', 'soms.orders', $1, $2) returning event_id"
NONE_WAITS = "select 1 where not exists (select 1 from outbox where published_at is null)"
KEYS = 8
NOWHERE = f"http://127.0.0.1:{ports.choose(1)[0]}/eureka"


class Told:
    """The records of a topic since the test began."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self.bootstrap, self.places = bootstrap, [TopicPartition(topic, partition) for partition in range(topics.PARTITIONS)]
        self.since: dict[TopicPartition, int] = {}

    @contextlib.asynccontextmanager
    async def consumer(self) -> AsyncIterator[AIOKafkaConsumer]:
        """One that reads every partition."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign(self.places)
            yield consumer
        finally:
            await consumer.stop()

    async def mark(self) -> None:
        """Begin now."""
        async with self.consumer() as consumer:
            self.since = await consumer.end_offsets(self.places)

    async def records(self) -> list[ConsumerRecord]:
        """All of them, those of one partition in order."""
        found: list[ConsumerRecord] = []
        async with self.consumer() as consumer:
            ends = await consumer.end_offsets(self.places)
            for place in self.places:
                consumer.seek(place, min(self.since.get(place, 0), ends[place]))
            while any([await consumer.position(place) < ends[place] for place in self.places]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += records
        return found

    async def until(self, number: int, seconds: float = 10) -> list[ConsumerRecord]:
        """All of them, once there are so many."""
        async with asyncio.timeout(seconds):
            while len(found := await self.records()) < number:
                pass
        return found

    async def ids(self) -> list[str]:
        """Their event ids."""
        return [dict(record.headers)["ce_id"].decode() for record in await self.records()]

    async def versions(self) -> dict[str, list[int]]:
        """By key, the versions in the order of their first arrival."""
        found: dict[str, list[int]] = {}
        for record in await self.records():
            seen, version = found.setdefault(record.key.decode(), []), json.loads(record.value)["version"]
            if version not in seen:
                seen.append(version)
        return found

    async def all_of(self, writer: "Writer") -> bool:
        """Whether each committed event is in the topic, no other is, and the first arrivals of each key are in its order."""
        versions = {key: versions for key, versions in writer.versions.items() if versions}
        return set(await self.ids()) == set(writer.ids) and await self.versions() == versions


class Writer:
    """Writes events to the outbox of orders, and knows which of them were committed."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.versions: dict[str, list[int]] = {}

    async def write(self, key: str, *, take_back: bool = False, **members: Any) -> None:
        """The next version of `key`, or one that is rolled back."""
        version = len(self.versions.setdefault(key, [])) + 1
        event_id = None
        with contextlib.suppress(ZeroDivisionError):
            async with transaction("orders"):
                ((event_id,),) = await fetch("orders", WRITE, key, json.dumps({"version": version, **members}))
                assert not take_back or 1 / 0
        if not take_back:
            self.ids.append(str(event_id))
            self.versions[key].append(version)

    async def load(self, number: int, seed: int = 1) -> None:
        """So many events of each of `KEYS` keys, all keys at once, with 3 of 10 transactions rolled back."""

        async def one(key: str, chance: random.Random) -> None:
            for _ in range(number):
                await self.write(key, take_back=chance.random() < 0.3)
                await asyncio.sleep(chance.random() / 50)

        await asyncio.gather(*(one(f"{seed}-{n}", random.Random(seed * 100 + n)) for n in range(KEYS)))

    async def sees(self, statement: str, seconds: float = 20) -> None:
        """Wait until a statement gives rows."""
        async with asyncio.timeout(seconds):
            while not await fetch("orders", statement):  # noqa: ASYNC110 - what is waited for happens in another process
                await asyncio.sleep(0.02)

    async def drained(self, seconds: float = 20) -> None:
        """Wait until no event waits any more."""
        await self.sees(NONE_WAITS, seconds)


@pytest.fixture(scope="session")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kafka]:
    """The broker, with every topic."""
    kafka = Kafka(tmp_path_factory.mktemp("kafka"), *ports.choose(2))
    async with kafka.running():
        await topics.provide(Settings(home=kafka.home, kafka=kafka.address))
        yield kafka


@pytest.fixture
def frozen(broker: Kafka) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """A block in which the broker hangs; what is sent to it meanwhile arrives afterwards."""

    @contextlib.contextmanager
    def hanging() -> Iterator[None]:
        pid = broker.child.process.pid if broker.child else 0
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    return hanging


@pytest.fixture(scope="session")
def stack(settings: Settings, broker: Kafka) -> Settings:
    """Settings of a stack with database and broker; the registry is away."""
    return settings.model_copy(update={"kafka": broker.address, "eureka": NOWHERE})


@pytest.fixture
async def ask(server: Postgres) -> Callable[[str], Awaitable[Any]]:
    """The first value of what a statement gives the owner of the database."""

    async def first(statement: str) -> Any:
        connection = await asyncpg.connect(server.dsn)
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()

    return first


@pytest.fixture
async def told(broker: Kafka) -> Told:
    """What is told of orders from now on."""
    told = Told(broker.address, "soms.orders")
    await told.mark()
    return told


@pytest.fixture
def writer(database: None) -> Writer:
    """Somebody who writes events to empty outboxes."""
    return Writer()


@pytest.fixture
async def start(stack: Settings, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Starts a process by its name as the Procfile does, or with a program of its own; all end with the test."""
    children: list[Child] = []

    async def started(name: str, program: str | None = None) -> Child:
        environment = os.environ | {
            "SOMS_HOME": str(stack.home),
            "SOMS_POSTGRES": str(stack.postgres),
            "SOMS_KAFKA": str(stack.kafka),
            "SOMS_EUREKA": NOWHERE,
        }
        with (tmp_path / f"{name}.log").open("ab") as log:
            how = ("-c", program) if program else ("-m", f"soms.agents.{name}")
            children.append(await Child.spawn((sys.executable, *how), environment, log))
        return children[-1]

    yield started
    for child in children:
        await child.stop(grace_seconds=0)
