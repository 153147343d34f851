"""The topics on a real broker: created once, checked ever after, never changed."""

import asyncio
import datetime as dt
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from soms.agents import topics
from soms.config import Settings
from soms.errors import FailedPrecondition, Unavailable
from soms.local import ports
from soms.local.kafka import Kafka

NAMES = [
    "soms.analytics",
    "soms.analytics.dlq",
    "soms.inventory.dlq",
    "soms.notification.dlq",
    "soms.orders",
    "soms.products",
    "soms.users",
]


@pytest.fixture(scope="module")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Kafka]:
    """A broker of this module's own."""
    kafka = Kafka(tmp_path_factory.mktemp("kafka"), *ports.choose(2))
    try:
        await kafka.start()
        yield kafka
    finally:
        await kafka.stop()


@pytest.fixture
async def admin(broker: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client of a broker without topics."""
    async with topics.administration(broker.address) as client:
        if there := await client.list_topics():
            await client.delete_topics(there)
        for _ in range(200):
            if not await client.list_topics():
                break
            await asyncio.sleep(0.05)
        yield client


def settings_of(broker: Kafka) -> Settings:
    """Settings that name the broker."""
    return Settings(home=broker.home, kafka=broker.address)


async def partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """How many partitions each topic has."""
    return {name: len(found) for name, found in (await topics._existing(admin)).items()}


def segments(broker: Kafka, partition: str) -> int:
    """The number of files that hold the records of a partition."""
    return len(list((broker.folder / "data" / partition).glob("*.log")))


def run_command(broker: Kafka) -> subprocess.CompletedProcess[str]:
    """`soms topics`."""
    environment = os.environ | {"SOMS_KAFKA": broker.address, "SOMS_HOME": str(broker.home)}
    command = [sys.executable, "-W", "error", "-m", "soms", "topics"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_registry_holds_the_topic_of_every_event() -> None:
    """One broker keeps one copy; three keep three, of which two must have a record before it counts; each consumer has its dead letters."""
    alone, cluster = topics.registry(1), topics.registry(3)

    assert [topic.name for topic in alone] == NAMES
    assert {(topic.replicas, topic.settings["min.insync.replicas"]) for topic in alone} == {(1, "1")}
    assert {(topic.replicas, topic.settings["min.insync.replicas"]) for topic in cluster} == {(3, "2")}


async def test_missing_topics_are_created_once(broker: Kafka, admin: AIOKafkaAdminClient) -> None:
    """The first run creates, the second finds all as it should be; two at once do no harm."""
    first, rival = await asyncio.gather(topics.provide(settings_of(broker)), topics.provide(settings_of(broker)))
    again = await topics.provide(settings_of(broker))

    assert sorted(first.created + rival.created) == NAMES
    assert sorted(first.created + first.right) == sorted(rival.created + rival.right) == NAMES
    assert (again.created, again.right, again.differences) == ([], NAMES, [])
    assert await partitions(admin) == dict.fromkeys(NAMES, 12)


async def test_differences_are_told_and_left_alone(broker: Kafka, admin: AIOKafkaAdminClient) -> None:
    """The command ends with 1, names what differs, and still creates what is missing."""
    await admin.create_topics([NewTopic("soms.users", 3, 1, topic_configs={"retention.ms": "1000"})])
    ended = await asyncio.to_thread(run_command, broker)

    assert ended.returncode == 1
    assert ended.stdout == f"created: {', '.join(NAMES[:-1])}\n"
    assert "soms.users has 3 partitions instead of 12" in ended.stderr
    assert "soms.users has retention.ms 1000 instead of 604800000" in ended.stderr
    assert await partitions(admin) == dict.fromkeys(NAMES, 12) | {"soms.users": 3}


async def test_command_ends_with_0_when_all_is_well(broker: Kafka, admin: AIOKafkaAdminClient) -> None:
    """It says what it did."""
    ended = await asyncio.to_thread(run_command, broker)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"created: {', '.join(NAMES)}\n", "")


async def test_orders_of_long_ago_need_no_files_of_their_own(broker: Kafka, admin: AIOKafkaAdminClient) -> None:
    """Two years of imported orders, a week apart, stay in one segment; with Kafka's own settings each week opens another."""
    await admin.create_topics([NewTopic("twin", 1, 1, topic_configs={"retention.ms": "-1"})])
    await topics.provide(settings_of(broker))
    weeks = [dt.datetime(2010, 12, 1, tzinfo=dt.UTC) + dt.timedelta(days=8 * week) for week in range(100)]
    async with AIOKafkaProducer(bootstrap_servers=broker.address) as producer:
        for topic in ("soms.orders", "twin"):
            for week in weeks:
                await producer.send_and_wait(topic, b"{}", partition=0, timestamp_ms=int(week.timestamp() * 1000))

    assert (segments(broker, "soms.orders-0"), segments(broker, "twin-0")) == (1, 100)


async def test_waits_for_a_broker_that_is_starting(broker: Kafka, admin: AIOKafkaAdminClient) -> None:
    """Started before the broker, it provides the topics once that is up."""
    await broker.stop()
    providing = asyncio.create_task(topics.provide(settings_of(broker)))
    await broker.start()

    assert (await providing).created == NAMES


async def test_consumers_wait_for_their_topics(broker: Kafka, admin: AIOKafkaAdminClient) -> None:
    """They go on as soon as the topics are there, and name what is missing where it stays so."""
    with pytest.raises(Unavailable, match=r"was not ready within 0\.5 s: it has no soms\.orders: run `soms topics`"):
        await topics.wait_for(settings_of(broker), ["soms.orders"], timeout_seconds=0.5)
    waiting = asyncio.create_task(topics.wait_for(settings_of(broker), NAMES))
    await topics.provide(settings_of(broker))

    assert await waiting == 1


async def test_consumers_refuse_another_number_of_partitions(broker: Kafka, admin: AIOKafkaAdminClient) -> None:
    """What they keep by partition would be in the wrong one."""
    await admin.create_topics([NewTopic("soms.orders", 24, 1)])

    with pytest.raises(FailedPrecondition, match=r"soms\.orders has 24 partitions instead of 12"):
        await topics.wait_for(settings_of(broker), ["soms.orders"])


async def test_broker_that_stays_away_is_told_of_in_time() -> None:
    """The wait has an end, and the message names the address."""
    away = Settings(kafka=f"127.0.0.1:{ports.choose(1)[0]}")

    with pytest.raises(Unavailable, match=r"Kafka at 127\.0\.0\.1:\d+ did not provide the topics within 0\.5 s"):
        await topics.provide(away, timeout_seconds=0.5)


async def test_nothing_to_connect_to_is_told_at_once(tmp_path: Path) -> None:
    """Without any address the message says what to do."""
    with pytest.raises(FailedPrecondition, match="soms engines"):
        await topics.provide(Settings(home=tmp_path))


async def test_topics_wait_for_the_brokers_that_are_named(broker: Kafka, admin: AIOKafkaAdminClient) -> None:
    """Three are named and one is up: no topic gets a single copy because its creator was early."""
    early = Settings(kafka=",".join([f"127.0.0.1:{broker.port}"] * 3))

    with pytest.raises(Unavailable, match=r"did not provide the topics within 2 s: .*[Rr]eplication"):
        await topics.provide(early, timeout_seconds=2)
    assert not {topic for topic in await admin.list_topics() if topic.startswith("soms.")}
