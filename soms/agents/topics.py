"""The topics of SOMS: one registry, created and checked by `soms topics` alone. Knows no consumer and imports no Faust.

What exists and differs is told, never changed: another number of partitions would send old keys elsewhere.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from soms.config import Settings
from soms.envelope import KINDS
from soms.errors import FailedPrecondition, Unavailable
from soms.events import OrderEvent

PARTITIONS: Final = 12
REPLICAS: Final = 3
DAY_MILLISECONDS: Final = 86_400_000
# as long as the relay keeps what it published, so that a redrive can fill any gap
WEEK: Final = {"retention.ms": str(7 * DAY_MILLISECONDS)}
# History is rebuilt from the orders, and imported ones bear times of long ago: a limit of age would delete them on arrival,
# and segments cut by age would be one for each week of history and partition, each with open files.
FOR_EVER: Final = {"retention.ms": "-1", "segment.ms": str(36_500 * DAY_MILLISECONDS)}
CONSUMERS: Final = ("analytics", "inventory", "notification")
# A dead letter waits a month for somebody to look at it, and has room for what is said of it beside an event of the largest size.
MONTH: Final = {"retention.ms": str(30 * DAY_MILLISECONDS), "max.message.bytes": str(2 << 20)}
WAIT_SECONDS: Final = 60.0
REQUEST_SECONDS: Final = 5
POLL_SECONDS: Final = 0.1
T = TypeVar("T")


@dataclass(frozen=True)
class Topic:
    """A topic as it should be; `settings` are Kafka's names and values."""

    name: str
    settings: Mapping[str, str]
    replicas: int
    partitions: int = PARTITIONS

    def differences(self, partitions: list[dict[str, Any]], settings: Mapping[str, str]) -> list[str]:
        """What of an existing topic is not so, in sentences; more replicas than wanted are welcome."""
        found = []
        if len(partitions) != self.partitions:
            found.append(f"{self.name} has {len(partitions)} partitions instead of {self.partitions}")
        if (replicas := min(len(one["replicas"]) for one in partitions)) < self.replicas:
            found.append(f"{self.name} has {replicas} replicas instead of {self.replicas}")
        return found + [
            f"{self.name} has {key} {settings.get(key)} instead of {value}"
            for key, value in self.settings.items()
            if settings.get(key) != value
        ]


@dataclass
class Provision:
    """What was done and found: names created now, names that were right already, differences in sentences."""

    created: list[str] = field(default_factory=list)
    right: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


def dead_letters(consumer: str) -> str:
    """The topic of the events that `consumer` gave up."""
    return f"soms.{consumer}.dlq"


def registry(brokers: int) -> list[Topic]:
    """Every topic of SOMS on a cluster of so many brokers."""
    kept = dict.fromkeys((kind.topic for kind in KINDS.values()), WEEK) | {OrderEvent.topic: FOR_EVER}
    kept |= dict.fromkeys(map(dead_letters, CONSUMERS), MONTH)
    safe = {"min.insync.replicas": str(min(replicas(brokers), 2)), "cleanup.policy": "delete"}
    return [Topic(name, safe | kept[name], replicas(brokers)) for name in sorted(kept)]


def size(admin_tells: Mapping[str, Any], kafka: str) -> int:
    """How many brokers a cluster has: those that are up, or those that the setting names if some of them are still to come."""
    return max(len(admin_tells["brokers"]), len(kafka.split(",")))


def replicas(brokers: int) -> int:
    """How many copies of a record so many brokers should keep."""
    return REPLICAS if brokers >= REPLICAS else 1


async def provide(settings: Settings, timeout_seconds: float = WAIT_SECONDS) -> Provision:
    """Create what is missing and check what is there; raises Unavailable where Kafka cannot do it in time.

    Any number may run at once.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it would say is in our error
    provision = Provision()

    async def attempt(admin: AIOKafkaAdminClient) -> None:
        await _attempt(admin, settings.kafka or "", provision)

    await _insist(settings, attempt, timeout_seconds, "did not provide the topics")
    return provision


async def wait_for(settings: Settings, names: Sequence[str], timeout_seconds: float = WAIT_SECONDS) -> int:
    """Wait until Kafka has these topics; tells how many copies of a record it should keep. Raises Unavailable after the time.

    Raises FailedPrecondition for another number of partitions: what consumers keep by partition would be in the wrong one.
    """

    async def attempt(admin: AIOKafkaAdminClient) -> int:
        existing = await _existing(admin)
        if missing := set(names) - set(existing):
            raise Unavailable(f"it has no {', '.join(sorted(missing))}: run `soms topics`")
        for name in names:
            if len(existing[name]) != PARTITIONS:
                raise FailedPrecondition(f"{name} has {len(existing[name])} partitions instead of {PARTITIONS}")
        return replicas(size(await admin.describe_cluster(), settings.kafka or ""))

    return await _insist(settings, attempt, timeout_seconds, "was not ready")


async def _insist(settings: Settings, attempt: Callable[[AIOKafkaAdminClient], Awaitable[T]], seconds: float, lament: str) -> T:
    """What `attempt` gives as soon as it works; raises Unavailable after `seconds`."""
    if not settings.kafka:
        raise FailedPrecondition("no Kafka: start the engines (`soms engines`, `soms up`) or set SOMS_KAFKA")
    refusal = "no answer"
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    async with administration(settings.kafka) as admin:
                        return await attempt(admin)
                except (KafkaError, OSError, Unavailable) as error:
                    refusal = str(error)
                    await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise Unavailable(f"Kafka at {settings.kafka} {lament} within {seconds:g} s: {refusal}") from None


@contextlib.asynccontextmanager
async def administration(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that may ask and change what a cluster is, not what its topics hold; raises KafkaError where there is none."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, client_id="soms-topics", request_timeout_ms=REQUEST_SECONDS * 1000)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _attempt(admin: AIOKafkaAdminClient, kafka: str, provision: Provision) -> None:
    """Create what is missing, wait until all of it is known to the brokers, then check all."""
    wanted = registry(size(await admin.describe_cluster(), kafka))
    existing = await _existing(admin)
    while missing := [topic for topic in wanted if topic.name not in existing]:
        await _create(admin, [topic for topic in missing if topic.name not in provision.created], provision)
        await asyncio.sleep(POLL_SECONDS)
        existing = await _existing(admin)
    settings = await _settings(admin, wanted)
    for topic in wanted:
        provision.differences += (found := topic.differences(existing[topic.name], settings[topic.name]))
        if not found and topic.name not in provision.created:
            provision.right.append(topic.name)


async def _existing(admin: AIOKafkaAdminClient) -> dict[str, list[dict[str, Any]]]:
    """The partitions of every topic there is; asking by name would make a broker with auto-creation create."""
    return {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics() if topic["partitions"]}


async def _create(admin: AIOKafkaAdminClient, topics: list[Topic], provision: Provision) -> None:
    new = [NewTopic(topic.name, topic.partitions, topic.replicas, topic_configs=dict(topic.settings)) for topic in topics]
    answer = await admin.create_topics(new, timeout_ms=REQUEST_SECONDS * 1000)
    provision.created += [name for name, code, _ in answer.topic_errors if not code]
    for name, code, message in answer.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):
            raise for_code(code)(f"{name}: {message or for_code(code).__name__}")


async def _settings(admin: AIOKafkaAdminClient, topics: list[Topic]) -> dict[str, dict[str, str]]:
    """Kafka's settings of each topic, as far as we care for them."""
    questions = [ConfigResource(ConfigResourceType.TOPIC, topic.name, dict(topic.settings)) for topic in topics]
    resources = [resource for answer in await admin.describe_configs(questions) for resource in answer.resources]
    for code, message, _, name, _ in resources:
        if code:
            raise for_code(code)(f"{name}: {message}")
    return {name: {entry[0]: entry[1] for entry in entries} for _, _, _, name, entries in resources}
