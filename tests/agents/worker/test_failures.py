"""Handlers that fail and events that nobody can read: each comes to its end and holds up no other. Stock Faust loses them."""

import asyncio
import datetime as dt
import json
import random
import signal
import uuid
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from soms import envelope
from soms.errors import InvalidArgument
from soms.events import StockLow

KIND = "soms.product.stock_low.v1"


async def test_a_handler_that_raises(group: Any, until: Any) -> None:
    """What fails twice is tried again and done; what always fails is among the dead letters, with what is known of it; nothing else is."""
    await group.feed(["ok"] * 200 + ["fail 2", "fail 99", "hopeless"] + ["ok"] * 200)
    await group.start()
    await until(group.through)
    dead = {record.key: record for record in await group.records(group.dead)}

    assert group.lost() == {group.fed["k201"], group.fed["k202"]}
    assert group.noted("begin")[group.fed["k200"]] == 3
    assert group.noted("begin")[group.fed["k201"]] == 5
    assert group.noted("begin")[group.fed["k202"]] == 1
    assert set(dead) == {b"k201", b"k202"}
    headers = dict(dead[b"k201"].headers)
    assert envelope.read(dead[b"k201"].headers, b"k201", dead[b"k201"].value).event.name == "fail 99"
    assert {name: value for name, value in headers.items() if name.startswith("dlq_")} == {
        "dlq_reason": b"failed",
        "dlq_error": b"RuntimeError: as told",
        "dlq_attempts": b"5",
        "dlq_topic": group.topic.encode(),
        "dlq_partition": str(group.fed["k201"][0]).encode(),
        "dlq_offset": str(group.fed["k201"][1]).encode(),
    }
    assert dict(dead[b"k202"].headers)["dlq_reason"] == b"out_of_range"


async def test_stock_loses_what_a_handler_raises_at(group: Any, until: Any) -> None:
    """The broken twin: stock Faust counts an event as done whose handler raised, so what would have worked later is gone."""
    await group.feed(["ok"] * 20 + ["fail 1"] + ["ok"] * 20)
    await group.start(program="stock.py")
    await until(lambda: len(group.noted("begin")) == 41)
    await until(group.through)

    assert group.fed["k20"] in group.lost()
    assert group.noted("begin")[group.fed["k20"]] == 1


async def test_poison_holds_nobody_up(group: Any, until: Any) -> None:
    """What nobody can read is a dead letter at once; a type not known is ignored; the good ones behind are handled."""
    headers = envelope.headers(uuid.uuid4(), KIND, "/test", dt.datetime.now(dt.UTC))
    for value in (b"", b"not JSON", b"[" * 10_000, json.dumps({"version": 1}).encode(), b"\xff" * 1_000_000, None):
        await group.put(value, b"poison", headers)
    async with AIOKafkaProducer(bootstrap_servers=group.bootstrap) as producer:
        nothing = producer.create_batch()
        nothing.append(key=None, value=None, timestamp=None, headers=[])
        await (await producer.send_batch(nothing, group.topic, partition=0))
    await group.put(b"{}", b"poison")
    await group.put(b"{}", None, headers)
    await group.put(b"anything", b"poison", [(n, b"soms.parcel.lost.v1" if n == "ce_type" else v) for n, v in headers])
    await group.feed(["ok"] * 24)
    await group.start()
    await until(group.through)
    dead = await group.records(group.dead)

    assert group.lost() == set()
    assert {dict(record.headers)["dlq_reason"] for record in dead} == {envelope.UNREADABLE.encode()}
    assert len(dead) == 9
    for record in dead:
        with pytest.raises(InvalidArgument) as refused:
            envelope.read(record.headers, record.key, record.value)
        assert dict(record.headers)["dlq_error"].decode() == refused.value.message
        assert [(name, value) for name, value in record.headers if not name.startswith("dlq_")] in ([], headers)


def spoilt(chance: random.Random) -> tuple[bytes | None, bytes | None, list[tuple[str, bytes]]]:
    """A good record with something of it cut off, turned, doubled or made up."""
    good = StockLow(version=1, sku="k", name="ok", available=1, low_threshold=2)
    headers = envelope.headers(uuid.UUID(int=chance.getrandbits(128)), KIND, "/test", dt.datetime.now(dt.UTC))
    value = bytearray(good.payload.encode())
    for _ in range(chance.randrange(4)):
        spot = chance.randrange(len(value) or 1)
        value[spot : spot + chance.randrange(8)] = chance.randbytes(chance.randrange(8))
    chance.shuffle(headers)
    headers = headers[chance.randrange(3) :] + [(chance.choice(headers)[0], chance.randbytes(5))] * chance.randrange(2)
    return chance.choice([b"k", None, *(chance.randbytes(4) for _ in range(10))]), chance.choice([bytes(value), value[:9], None]), headers


async def test_thousands_of_spoilt_records(group: Any, until: Any) -> None:
    """None ends the worker or holds it up: each is a dead letter or read after all, and the good ones among them are handled."""
    chance = random.Random(1)
    async with AIOKafkaProducer(bootstrap_servers=group.bootstrap, linger_ms=5) as producer:
        sending = []
        for _ in range(1_500):
            key, value, headers = spoilt(chance)
            sending.append(await producer.send(group.topic, value, key=key if value is not None else key or b"", headers=headers))
        await asyncio.gather(*sending)
    await group.feed(["ok"] * 100)
    worker = await group.start()
    await until(group.through)
    reasons = {dict(record.headers)["dlq_reason"] for record in await group.records(group.dead)}

    assert not worker.ended
    assert group.lost() == set()
    assert reasons == {envelope.UNREADABLE.encode()}


async def test_a_handler_that_hangs(group: Any, until: Any) -> None:
    """Others are done while it hangs; after its attempts it is a dead letter, and its partition goes on."""
    await group.feed(["hang"] + ["ok"] * 60)
    hanging = group.fed["k0"][0]
    others = {spot for spot in group.fed.values() if spot[0] != hanging}
    worker = await group.start()
    await until(lambda: group.noted("begin")[group.fed["k0"]])
    await until(lambda: others <= set(group.noted("done")))
    assert group.noted("begin")[group.fed["k0"]] < 5
    await until(group.through)
    (dead,) = await group.records(group.dead)
    worker.process.send_signal(signal.SIGTERM)

    assert group.lost() == {group.fed["k0"]}
    assert dict(dead.headers)["dlq_reason"] == b"timed_out"
    assert await worker.wait() == 0


async def test_stock_stands_still_behind_a_handler_that_hangs(group: Any, until: Any) -> None:
    """The broken twin: one handler that hangs stops every partition of a stock worker."""
    await group.feed(["ok"] * 60)
    await group.start(program="stock.py")
    await until(lambda: not group.lost())
    await group.feed(["hang"])
    await until(lambda: group.noted("begin")[group.fed["k60"]])
    await group.feed(["ok"] * 60)
    with pytest.raises(TimeoutError):
        await until(lambda: len(group.lost()) < 61, 5)

    assert len(group.lost()) == 61
