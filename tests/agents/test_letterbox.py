"""Dead letters for people: listed once each, shown, sent again as they came, dropped; over the `soms dlq` command too."""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner, Result

from soms import config, envelope
from soms.agents import letterbox
from soms.agents.deadletter import Failure, headers
from soms.agents.letterbox import Letter
from soms.config import Settings
from soms.errors import FailedPrecondition, InvalidArgument, NotFound
from soms.events import StockLow

DEAD = "soms.inventory.dlq"
Run = Callable[..., Any]


class Graveyard:
    """Writes events to `soms.products` and dead letters of them."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self.producer = producer
        self.times = 0

    async def bury(self, copies: int = 1, **members: Any) -> tuple[Any, str]:
        """An event that was given up, as it was told, and its key."""
        key = f"dead-{uuid4().hex[:8]}"
        value = json.dumps({"version": 1, "sku": key, "name": "A", "available": 1, "low_threshold": 2} | members).encode()
        told = envelope.headers(uuid4(), StockLow.type, "/test", dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5))
        origin = await self.producer.send_and_wait("soms.products", value, key=key.encode(), headers=told)
        message: Any = SimpleNamespace(
            headers=told, key=key.encode(), value=value, topic=origin.topic, partition=origin.partition, offset=origin.offset
        )
        for _ in range(copies):
            await self.producer.send_and_wait(DEAD, value, key=key.encode(), headers=headers(message, Failure("failed", "Oops: no", 5)))
        return message, key


@pytest.fixture
async def graveyard(stack: Settings) -> AsyncIterator[Graveyard]:
    """No letter is open at first."""
    [_ async for _ in letterbox.drop(stack, await letterbox.opened(stack))]
    async with AIOKafkaProducer(bootstrap_servers=stack.kafka) as producer:
        yield Graveyard(producer)


@pytest.fixture
def soms(stack: Settings, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a `soms` command; the result."""
    from soms.__main__ import main

    monkeypatch.setenv("SOMS_HOME", str(stack.home))
    monkeypatch.setenv("SOMS_KAFKA", str(stack.kafka))

    async def run(*arguments: str) -> Result:
        config.settings.cache_clear()
        return await asyncio.to_thread(CliRunner().invoke, main, arguments)

    return run


async def test_a_letter_is_listed_once(graveyard: Graveyard, stack: Settings) -> None:
    """Two copies of a letter are one, for they are about the same event; the oldest is first."""
    message, _ = await graveyard.bury(copies=2)
    other, _ = await graveyard.bury()

    letters = await letterbox.opened(stack)

    assert [letter.origin for letter in letters] == [(m.topic, m.partition, m.offset) for m in (message, other)]
    assert (letters[0].told["reason"], letters[0].told["attempts"], letters[0].own) == ("failed", "5", message.headers)
    assert await letterbox.opened(stack, ["notification"]) == []


async def test_replaying(graveyard: Graveyard, stack: Settings, told: Any) -> None:
    """The same bytes, key, headers and time go to the same partition once more; then neither copy is open."""
    message, key = await graveyard.bury(copies=2)
    told.places = [place._replace(topic="soms.products") for place in told.places]
    await told.mark()
    (letter,) = await letterbox.opened(stack)
    replayed = [one async for one in letterbox.replay(stack, [letter])]
    (record,) = await told.records()

    assert replayed == [letter]
    assert (record.key, record.value, list(record.headers)) == (key.encode(), message.value, message.headers)
    assert (record.partition, record.timestamp) == (message.partition, _milliseconds(message))
    assert await letterbox.opened(stack) == []
    assert letter.subject in {one.subject for one in await letterbox.opened(stack, settled=True)}


async def test_dropping(graveyard: Graveyard, stack: Settings, told: Any) -> None:
    """A dropped letter is open no more, and nothing is sent; another stays."""
    await graveyard.bury()
    _, stays = await graveyard.bury()
    first, second = await letterbox.opened(stack)
    assert [one async for one in letterbox.drop(stack, [first])] == [first]

    assert await letterbox.opened(stack) == [second]
    assert second.key == stays.encode()


async def test_a_letter_that_came_from_no_topic(graveyard: Graveyard, stack: Settings) -> None:
    """A notification that was given up has no event to send again; that is said."""
    letter = Letter(DEAD, 0, 0, dt.datetime.now(dt.UTC), b"k", [], {"reason": "delivery_failed", "error": "mailbox full"})

    with pytest.raises(FailedPrecondition, match="mailbox full"):
        [_ async for _ in letterbox.replay(stack, [letter])]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ("soms.inventory.dlq-0-99999999", NotFound),
        ("soms.inventory.dlq-77-0", NotFound),
        ("soms.orders-0-0", InvalidArgument),
        ("soms.inventory.dlq-0", InvalidArgument),
        ("soms.inventory.dlq-x-1", InvalidArgument),
        ("", InvalidArgument),
    ],
)
async def test_ids_of_nothing(graveyard: Graveyard, stack: Settings, wrong: str, error: type[Exception]) -> None:
    """What is no id of a letter, or of none that is there, is refused in words."""
    with pytest.raises(error):
        await letterbox.read(stack, wrong)


async def test_a_mark_is_no_letter(graveyard: Graveyard, stack: Settings) -> None:
    """The record that settles a letter cannot itself be shown or replayed."""
    await graveyard.bury()
    (letter,) = await letterbox.opened(stack)
    [_ async for _ in letterbox.drop(stack, [letter])]

    with pytest.raises(NotFound):
        await letterbox.read(stack, f"{letter.topic}-{letter.partition}-{letter.offset + 1}")


async def test_the_command(graveyard: Graveyard, soms: Run) -> None:
    """`soms dlq` lists, shows without secrets, replays and drops; what cannot be is said in one line with exit code 1 or 2."""
    _, key = await graveyard.bury(token="hush", name="line\nbreak")
    await graveyard.bury()
    listed = (await soms("dlq", "list", "--consumer", "inventory")).output.splitlines()
    first = listed[0].split()[0]
    shown = await soms("dlq", "show", first)
    replayed = await soms("dlq", "replay", first)
    rest = json.loads((await soms("dlq", "list", "--json")).output)
    dropped = await soms("dlq", "drop", "--all", "--consumer", "inventory", "--yes")

    assert len(listed) == 2
    assert listed[0].endswith(f"{StockLow.type}  {key}")
    assert "hush" not in shown.output
    assert '"token": "***"' in shown.output
    assert "dlq_error        Oops: no" in shown.output
    assert replayed.output.splitlines() == [f"replayed {first}", "1 replayed"]
    assert rest["key"] != key
    assert dropped.output.splitlines()[-1] == "1 dropped"
    assert (await soms("dlq", "list")).output == "no dead letters\n"
    assert (await soms("dlq", "list", "--consumer", "nobody")).exit_code == 2
    assert (await soms("dlq", "replay", "--all")).exit_code == 2
    assert (await soms("dlq", "show", "nonsense")).exit_code == 1


def _milliseconds(message: Any) -> int:
    time = dict(message.headers)["ce_time"].decode()
    return int(dt.datetime.fromisoformat(time).timestamp() * 1000)
