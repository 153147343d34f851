"""Reading events along, as a person does."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from soms.agents.tail import follow
from soms.config import Settings
from soms.errors import FailedPrecondition, Unavailable
from soms.local import ports
from soms.local.kafka import Kafka

ORDER = "5f0c6f3a-3c6e-8a51-9d0e-2f6f8f2f4b11"


@pytest.fixture
async def producer(broker: Kafka) -> Any:
    """Tells what the samples tell, and worse."""
    async with AIOKafkaProducer(bootstrap_servers=broker.address) as producer:
        yield producer


async def tell(producer: AIOKafkaProducer, kind: str, key: str | None = None) -> None:
    """Put a stored sample on its topic."""
    sample = json.loads((Path(__file__).parents[1] / f"samples/events/{kind}.json").read_text())
    headers = [(name, text.encode()) for name, text in sample["headers"].items()]
    value = json.dumps(sample["value"]).encode()
    await producer.send_and_wait(f"soms.{kind.split('.')[1]}s", value, (key or sample["key"]).encode(), headers=headers)


async def tail(broker: Kafka, *options: str) -> asyncio.subprocess.Process:
    """`soms events tail`."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", "-m", "soms", "events", "tail", *options),
        env=os.environ | {"SOMS_KAFKA": broker.address, "SOMS_HOME": str(broker.home), "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def shown(broker: Kafka, *options: str) -> list[str]:
    """The lines of a tail that ends by itself."""
    process = await tail(broker, "--from-start", "--to-end", *options)
    async with asyncio.timeout(30):
        out, error = await process.communicate()
    assert (process.returncode, error) == (0, b"")
    return out.decode().splitlines()


async def test_one_order_in_lines(broker: Kafka, producer: AIOKafkaProducer) -> None:
    """Each event of the order in one line, in order; nothing of others, though they share its partition."""
    for kind in ("soms.order.placed.v1", "soms.order.paid.v1"):
        await tell(producer, kind)
        await tell(producer, kind, key="somebody-else")
    placed, paid = (line for line in await shown(broker, "--order", ORDER) if "SO-100042" in line)

    assert placed.startswith(f"2026-03-01T09:30:00.123456Z soms.order.placed.v1 {ORDER} v1 ")
    assert "number=SO-100042 status=placed" in placed
    assert "total=4490 lines=2 country=GB" in placed
    assert "reference=PAY-7781" in paid


async def test_json_of_a_type(broker: Kafka, producer: AIOKafkaProducer) -> None:
    """As JSON with all its members, tokens blotted out."""
    await tell(producer, "soms.user.password_reset.v1")
    await tell(producer, "soms.user.registered.v1")
    (line,) = await shown(broker, "--type", "password_reset", "--json")
    told = json.loads(line)

    assert (told["type"], told["value"]["email"], told["value"]["token"]) == ("soms.user.password_reset.v1", "ann@example.org", "***")


async def test_what_cannot_be_read_is_shown_as_such(broker: Kafka, producer: AIOKafkaProducer) -> None:
    """No JSON, no headers, control characters: one harmless line each."""
    await producer.send_and_wait("soms.products", b"\x00nonsense", b"bad\x1b[31m")
    await producer.send_and_wait("soms.products", b'{"version": 1, "name": "a\\nb\\u001b"}', b"odd", headers=[("ce_type", b"soms.odd")])
    lines = await shown(broker)

    assert len([line for line in lines if "bad\\x1b[31m unreadable at soms.products/" in line]) == 1
    assert len([line for line in lines if "soms.odd odd v1 name=a\\x0ab\\x1b" in line]) == 1


async def test_it_follows_until_interrupted(broker: Kafka, producer: AIOKafkaProducer) -> None:
    """From now on: what was told before is not shown, what comes is, and Ctrl-C ends it without a word."""
    await tell(producer, "soms.product.created.v1", key="before")
    process = await tail(broker, "--type", "product")
    assert process.stdout is not None
    lines: list[bytes] = []
    async with asyncio.timeout(30):
        while not lines:
            await tell(producer, "soms.product.created.v1", key="after")
            with contextlib.suppress(TimeoutError):
                lines.append(await asyncio.wait_for(process.stdout.readline(), 1))
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(10):
        _, error = await process.communicate()

    assert b" after v1 " in lines[0]
    assert (process.returncode, error) == (0, b"")


async def test_without_kafka_it_says_so(broker: Kafka, tmp_path: Path) -> None:
    """Neither an address, nor a broker, nor a topic: each has its sentence."""

    async def reason(settings: Settings, topic: str = "soms.orders") -> str:
        with pytest.raises((FailedPrecondition, Unavailable)) as refusal:
            _ = [record async for record in follow(settings, [topic], to_end=True)]
        return refusal.value.message

    assert "SOMS_KAFKA" in await reason(Settings(home=tmp_path))
    assert "does not answer" in await reason(Settings(home=tmp_path, kafka=f"127.0.0.1:{ports.choose(1)[0]}"))
    assert "no topic soms.nothing" in await reason(Settings(home=tmp_path, kafka=broker.address), "soms.nothing")
