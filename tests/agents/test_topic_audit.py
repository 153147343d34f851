"""The audit between outboxes and topics: quiet over what the relay tells, loud over what is missing, strange or out of order."""

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner, Result

from soms import config, envelope
from soms.agents import letterbox, topic_audit
from soms.agents.deadletter import Failure, headers
from soms.agents.relay import relaying
from soms.agents.topic_audit import compared
from soms.config import Settings
from soms.events import StockLow
from soms.models.audit import CHECKS
from soms.models.database import fetch

KIND = "soms.order.paid.v1"
Broken = Callable[[], Any]


@pytest.fixture
async def producer(stack: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """Somebody who writes to the topics past the outboxes."""
    async with AIOKafkaProducer(bootstrap_servers=stack.kafka) as started:
        yield started


async def put(producer: AIOKafkaProducer, key: str, version: int, event_id: UUID, kind: str = KIND) -> Any:
    """Write an event."""
    told = envelope.headers(event_id, kind, "/test", dt.datetime.now(dt.UTC))
    topic = "soms.orders" if kind == KIND else "soms.products"
    return await producer.send_and_wait(topic, json.dumps({"version": version}).encode(), key=key.encode(), headers=told)


@pytest.fixture
def mine() -> str:
    """How keys of this test begin."""
    return f"mine-{uuid4().hex[:8]}"


@pytest.fixture
async def broken(stack: Settings, writer: Any, mine: str, monkeypatch: pytest.MonkeyPatch) -> Broken:
    """What is found to be wrong about keys of this test: outboxes of other tests are empty now, their topics are not."""
    monkeypatch.setattr(topic_audit, "MOST_BREACHES", 1_000_000)

    async def found() -> dict[str, list[str]]:
        breaches = {result.name: [breach for breach in result.breaches if mine in str(breach)] for result in await compared(stack)}
        return {name: [f"{breach.key} {breach.found} {breach.wanted}" for breach in some] for name, some in breaches.items() if some}

    return found


async def test_what_the_relay_tells_is_in_order(stack: Settings, writer: Any, broken: Broken, mine: str) -> None:
    """Events of many keys, some of them told twice after a redrive."""
    async with relaying(stack):
        for n in range(20):
            await writer.write(f"{mine}-{n % 4}")
        await writer.drained()
        await fetch("orders", "update outbox set published_at = null")
        await writer.drained()

    assert await broken() == {}


async def test_a_lost_event_is_told(stack: Settings, writer: Any, broken: Broken, mine: str) -> None:
    """The outbox says published, and the topic has nothing of it; while it waits for the relay nothing is wrong."""
    await writer.write(mine)
    waiting = await broken()
    await fetch("orders", "update outbox set published_at = now()")

    assert waiting == {}
    assert await broken() == {"topics.missing": [f"{writer.ids[0]} not in soms.orders an event of {mine}"]}


async def test_a_stray_is_told(producer: AIOKafkaProducer, broken: Broken, mine: str) -> None:
    """What is in the topic and in no outbox is told with its place, be it readable or not."""
    event_id = uuid4()
    record = await put(producer, f"{mine}-stray", 1, event_id)
    await producer.send_and_wait("soms.orders", b"poison", key=f"{mine}-poison".encode())

    (found,) = (await broken()).values()
    assert f"soms.orders/{record.partition}@{record.offset} event {event_id} of {mine}-stray" in found[0] + found[1]
    assert f"event None of {mine}-poison" in found[0] + found[1]


async def test_what_was_given_up_is_no_stray(stack: Settings, producer: AIOKafkaProducer, broken: Broken, mine: str) -> None:
    """A record that lies among the dead letters of a consumer is accounted for, settled or not."""
    record = await producer.send_and_wait("soms.orders", b"poison", key=mine.encode())
    message: Any = SimpleNamespace(headers=(), topic=record.topic, partition=record.partition, offset=record.offset)
    await producer.send_and_wait("soms.inventory.dlq", b"poison", key=b"x", headers=headers(message, Failure("unreadable", "", 0)))
    assert await broken() == {}
    [_ async for _ in letterbox.drop(stack, await letterbox.opened(stack))]

    assert await broken() == {}


async def test_a_late_event_is_told(stack: Settings, producer: AIOKafkaProducer, writer: Any, broken: Broken, mine: str) -> None:
    """A version that first arrives behind a later one is told; one that arrives again, or counts something else, is not."""
    for key in (f"{mine}-late", f"{mine}-again"):
        for _ in range(2):
            await writer.write(key)
    late = dict(zip(("one", "two", "three", "four"), map(UUID, writer.ids), strict=True))
    for key, version, name in (("late", 2, "two"), ("late", 1, "one"), ("again", 1, "three"), ("again", 2, "four"), ("again", 1, "three")):
        await put(producer, f"{mine}-{key}", version, late[name])
    for version, kind in ((7, "soms.product.updated.v1"), (3, StockLow.type), (8, "soms.product.updated.v1"), (4, StockLow.type)):
        await put(producer, f"{mine}-sku", version, uuid4(), kind)

    assert [line.split()[:5] for line in (await broken())["topics.order"]] == [["soms.orders", f"{mine}-late", "version", "1", "behind"]]


@pytest.fixture
def soms(stack: Settings, database: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a `soms` command; the result."""
    from soms.__main__ import main

    for name in ("home", "kafka", "postgres"):
        monkeypatch.setenv(f"SOMS_{name.upper()}", str(getattr(stack, name)))

    async def run(*arguments: str) -> Result:
        config.settings.cache_clear()
        return await asyncio.to_thread(CliRunner().invoke, main, arguments)

    return run


async def test_the_commands(stack: Settings, soms: Callable[..., Any]) -> None:
    """`soms audit` and `soms doctor` end with 0 where all is well; with 1, the row and what to do where it is not."""
    [_ async for _ in letterbox.drop(stack, await letterbox.opened(stack))]
    clean, well = await soms("audit", "--no-topics", "--wait", "0"), await soms("doctor", "--wait", "0")
    await fetch("products", "insert into stock (sku, on_hand, reserved, low_threshold, version) values ('MINE', 5, 0, 0, 1)")
    told, ill = await soms("audit", "--no-topics", "--wait", "0"), await soms("doctor", "--wait", "0")
    document = json.loads((await soms("audit", "--no-topics", "--wait", "0", "--json")).output)

    assert (clean.exit_code, clean.output.splitlines()[-1]) == (0, f"all {len(CHECKS)} rules hold")
    assert (well.exit_code, well.output) == (0, "nothing is wrong\n")
    assert told.exit_code == 1
    assert "    MINE: found 5, wanted 0\n" in told.output
    assert ill.exit_code == 1
    assert "stock.on_hand: 1 where not what is on hand of a SKU is the sum of its movements. To do: " in ill.output
    assert {one["name"] for one in document["checks"] if one["breaches"]} == {"stock.on_hand", "stock.products"}
