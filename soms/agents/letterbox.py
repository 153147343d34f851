"""The dead letters of a consumer, for people: which are open, what is in one, sending it once more, dropping it. Knows no handler.

Nothing is ever taken out of a topic. A letter is settled by a mark, a record without a value behind it, and is not listed any more.
"""

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord, TopicPartition

from soms.agents.deadletter import PREFIX
from soms.agents.tail import follow
from soms.agents.topics import CONSUMERS, PARTITIONS, dead_letters
from soms.config import Settings
from soms.errors import FailedPrecondition, InvalidArgument, NotFound, Unavailable
from soms.events import OrderEvent

SETTLED: Final = f"{PREFIX}settled"
SUBJECT: Final = f"{PREFIX}subject"
MOST: Final = 10_000
REQUEST_MILLISECONDS: Final = 5000
READ_SECONDS: Final = 10.0
LARGEST_BYTES: Final = 2 << 20
# what is older might be deleted from its topic the moment it is there
FRESH: Final = dt.timedelta(days=6)
Headers = list[tuple[str, bytes]]


@dataclass(frozen=True)
class Letter:
    """Where a dead letter lies and what is said of it; its value stays there. `told` are the `dlq_` headers, `own` those it came with."""

    topic: str
    partition: int
    offset: int
    at: dt.datetime
    key: bytes | None
    own: Headers
    told: dict[str, str]

    @property
    def id(self) -> str:
        """As people name it: topic-partition-offset."""
        return f"{self.topic}-{self.partition}-{self.offset}"

    @property
    def origin(self) -> tuple[str, int, int] | None:
        """Where the event lay that was given up; None for a letter that is about no event of a topic."""
        try:
            return self.told["topic"], int(self.told["partition"]), int(self.told["offset"])
        except (KeyError, ValueError):
            return None

    @property
    def subject(self) -> str:
        """What it is about: copies of a letter are about the same."""
        if self.origin:
            return "-".join(map(str, self.origin))
        return self.header("ce_id") or self.id

    def header(self, name: str) -> str:
        """A header that it came with, as text; empty where there is none."""
        return dict(self.own).get(name, b"").decode(errors="replace")


async def opened(settings: Settings, consumers: Sequence[str] = CONSUMERS, *, settled: bool = False) -> list[Letter]:
    """The open letters of these consumers, or with `settled` all that are kept, one for each subject, oldest first; at most `MOST`.

    Raises Unavailable without Kafka or a topic.
    """
    found: dict[str, Letter] = {}
    done: set[str] = set()
    async for record in follow(settings, [dead_letters(one) for one in consumers], from_start=True, to_end=True):
        letter = _letter(record)
        if "settled" in letter.told:
            done.add(letter.told.get("subject", ""))
        elif len(found) < MOST:
            found.setdefault(letter.subject, letter)
    letters = [letter for subject, letter in found.items() if settled or subject not in done]
    return sorted(letters, key=lambda letter: (letter.at, letter.id))


async def read(settings: Settings, letter_id: str) -> tuple[Letter, bytes | None]:
    """A letter and its value. Raises InvalidArgument for what is no id, and NotFound."""
    place = _place(letter_id)
    async with _reading(settings) as consumer:
        return await _found(consumer, place)


async def replay(settings: Settings, letters: Iterable[Letter]) -> AsyncIterator[Letter]:
    """Send these once more to the topic and partition they came from, with the bytes and headers they came with; gives each that went.

    Every consumer of the topic sees it again. It has the same id, so that those who handled it before pass it over.
    Raises FailedPrecondition for a letter that came from no topic.
    """
    origins = [(letter, *_origin(letter)) for letter in letters]
    if not origins:
        return
    async with _reading(settings) as consumer, _writing(settings) as producer:
        for letter, topic, partition, _ in origins:
            _, value = await _found(consumer, (letter.topic, letter.partition, letter.offset))
            sent = {"key": letter.key, "headers": letter.own, "partition": partition, "timestamp_ms": _milliseconds(letter)}
            await producer.send_and_wait(topic, value, **sent)
            await _settle(producer, letter, "replayed")
            yield letter


async def drop(settings: Settings, letters: Iterable[Letter]) -> AsyncIterator[Letter]:
    """Mark these as settled, and nothing more; gives each."""
    async with _writing(settings) as producer:
        for letter in letters:
            await _settle(producer, letter, "dropped")
            yield letter


def _letter(record: ConsumerRecord) -> Letter:
    headers = [(name, value) for name, value in record.headers if value is not None]
    told = {name.removeprefix(PREFIX): value.decode(errors="replace") for name, value in headers if name.startswith(PREFIX)}
    own = [(name, value) for name, value in headers if not name.startswith(PREFIX)]
    at = dt.datetime.fromtimestamp(record.timestamp / 1000, dt.UTC)
    return Letter(record.topic, record.partition, record.offset, at, record.key, own, told)


def _place(letter_id: str) -> tuple[str, int, int]:
    topic, *numbers = letter_id.rsplit("-", 2)
    if topic not in map(dead_letters, CONSUMERS) or len(numbers) != 2 or not all(number.isdecimal() for number in numbers):  # noqa: PLR2004
        raise InvalidArgument(f"{letter_id!r} is no id of a dead letter, such as soms.inventory.dlq-3-17")
    if int(numbers[0]) >= PARTITIONS:
        raise NotFound(f"there is no dead letter {letter_id}")
    return topic, int(numbers[0]), int(numbers[1])


def _origin(letter: Letter) -> tuple[str, int, int]:
    if letter.origin is None:
        raise FailedPrecondition(f"{letter.id} came from no topic: {letter.told.get('error', '')}")
    return letter.origin


async def _found(consumer: AIOKafkaConsumer, place: tuple[str, int, int]) -> tuple[Letter, bytes | None]:
    topic, partition, offset = place
    there = TopicPartition(topic, partition)
    consumer.assign([there])
    first, last = (await consumer.beginning_offsets([there]))[there], (await consumer.end_offsets([there]))[there]
    if first <= offset < last:
        consumer.seek(there, offset)
        async with asyncio.timeout(READ_SECONDS):
            record = await consumer.getone(there)
        if record.offset == offset and "settled" not in (letter := _letter(record)).told:
            return letter, record.value
    raise NotFound(f"there is no dead letter {topic}-{partition}-{offset}")


async def _settle(producer: AIOKafkaProducer, letter: Letter, how: str) -> None:
    headers = [(SETTLED, how.encode()), (SUBJECT, letter.subject.encode(errors="replace"))]
    await producer.send_and_wait(letter.topic, None, key=letter.id.encode(), partition=letter.partition, headers=headers)


def _milliseconds(letter: Letter) -> int:
    """The time of the event, for windows and history; now for what its topic would delete for its age."""
    now = time.time_ns() // 1_000_000
    try:
        happened = int(dt.datetime.fromisoformat(letter.header("ce_time")).timestamp() * 1000)
    except ValueError:
        return now
    kept = letter.told.get("topic") == OrderEvent.topic or now - happened < FRESH / dt.timedelta(milliseconds=1)
    return happened if 0 <= happened <= now and kept else now


@contextlib.asynccontextmanager
async def _reading(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=_address(settings),
        client_id="soms-dlq",
        enable_auto_commit=False,
        request_timeout_ms=REQUEST_MILLISECONDS,
        max_partition_fetch_bytes=LARGEST_BYTES,
    )
    async with _started(consumer, settings):
        yield consumer


@contextlib.asynccontextmanager
async def _writing(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=_address(settings),
        client_id="soms-dlq",
        acks="all",
        max_request_size=LARGEST_BYTES,
        request_timeout_ms=REQUEST_MILLISECONDS,
    )
    async with _started(producer, settings):
        yield producer


@contextlib.asynccontextmanager
async def _started(client: Any, settings: Settings) -> AsyncIterator[None]:
    try:
        await client.start()
        yield
    except (KafkaError, TimeoutError) as error:
        raise Unavailable(f"Kafka at {settings.kafka} does not answer: {error}") from error
    finally:
        await client.stop()


def _address(settings: Settings) -> str:
    if not settings.kafka:
        raise FailedPrecondition("no Kafka: start the engines (`soms engines`, `soms up`) or set SOMS_KAFKA")
    return settings.kafka
