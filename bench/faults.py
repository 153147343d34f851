"""What may go wrong around the broker: each fault is done to a running stack and over when its function returns. Knows no load."""

import asyncio
import contextlib
import datetime as dt
import json
import os
import random
import signal
import time
import uuid
from collections.abc import Awaitable, Callable

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from bench.field import Field
from soms import envelope
from soms.agents.topics import administration
from soms.config import Settings

BACK_SECONDS = 60
JOINED_SECONDS = 8
FROZEN_SECONDS = 12
HUNG_SECONDS = 6
Fault = Callable[[Field, random.Random, float], Awaitable[str]]


async def join_and_leave(field: Field, chance: random.Random, _: float) -> str:
    """A second worker comes, takes its share and leaves."""
    name = chance.choice([one for one in field.agents if one != "relay"])
    async with field.another(name) as second:
        await asyncio.sleep(JOINED_SECONDS)
        ended = second.returncode
    if ended is not None:
        raise SystemExit(f"a second {name} ended by itself with code {ended}")
    return f"a second {name} joined and left"


async def join_and_die(field: Field, chance: random.Random, _: float) -> str:
    """A second worker comes, takes its share and is killed."""
    name = chance.choice([one for one in field.agents if one != "relay"])
    async with field.another(name) as second:
        await asyncio.sleep(JOINED_SECONDS)
        second.kill()
    return f"a second {name} joined and was killed"


async def terminate(field: Field, chance: random.Random, _: float) -> str:
    """A process is asked to end; its supervisor starts another."""
    return await _ended(field, chance.choice(field.agents), signal.SIGTERM)


async def kill(field: Field, chance: random.Random, _: float) -> str:
    """A process is killed."""
    return await _ended(field, chance.choice(field.agents), signal.SIGKILL)


async def freeze(field: Field, chance: random.Random, _: float) -> str:
    """A process stands still for longer than its group waits for it, and then goes on as if nothing had been."""
    name = chance.choice(field.agents)
    field.signal(name, signal.SIGSTOP)
    try:
        await asyncio.sleep(FROZEN_SECONDS)
    finally:
        field.signal(name, signal.SIGCONT)
    return f"{name} stood still for {FROZEN_SECONDS} s"


async def stop_broker(field: Field, _: random.Random, seconds: float) -> str:
    """The broker is stopped, and whatever starts it again does not succeed for so long."""
    first, held, deadline = set(field.signal("kafka", signal.SIGTERM)), set[int](), time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            for pid in set(field.pids("kafka")) - first - held:
                os.kill(pid, signal.SIGSTOP)
                held.add(pid)
            await asyncio.sleep(0.1)
    finally:
        field.signal("kafka", signal.SIGCONT)
    return f"the broker was down for {seconds:g} s; {await _listening(field)}"


async def kill_broker(field: Field, _: random.Random, __: float) -> str:
    """The broker is killed."""
    field.signal("kafka", signal.SIGKILL)
    return f"the broker was killed; {await _listening(field)}"


async def restart_database(field: Field, chance: random.Random, _: float) -> str:
    """PostgreSQL is stopped, in the fast way (SIGINT) or by kill -9, and comes again."""
    return await _ended(field, "postgres", chance.choice([signal.SIGINT, signal.SIGKILL]))


async def hang_handlers(field: Field, _: random.Random, __: float) -> str:
    """Somebody holds a lock that every handler of stock waits for."""
    try:
        connection = await asyncpg.connect(_settings(field).postgres, timeout=5)
        try:
            async with connection.transaction():
                await connection.execute("lock table products.inbox in share row exclusive mode")
                await asyncio.sleep(HUNG_SECONDS)
        finally:
            await connection.close(timeout=5)
    except (OSError, asyncpg.PostgresError, TimeoutError) as error:
        return f"no handler hung: {error}"
    return f"handlers hung for {HUNG_SECONDS} s"


async def poison(field: Field, chance: random.Random, _: float) -> str:
    """Records that nobody can read, and some that no order can be, lie among the good ones."""
    records = [_poison(chance) for _ in range(20)]
    try:
        async with AIOKafkaProducer(bootstrap_servers=_settings(field).kafka, request_timeout_ms=5000) as producer:
            for key, value, headers in records:
                await producer.send_and_wait("soms.orders", value, key=key, headers=headers)
    except (KafkaError, TimeoutError) as error:
        return f"no poison: {error}"
    return f"{len(records)} poison events"


async def freeze_mailbox(field: Field, _: random.Random, __: float) -> str:
    """The mail server and the provider of text messages stand still, with messages handed in and not answered."""
    field.signal("mailbox", signal.SIGSTOP)
    try:
        await asyncio.sleep(FROZEN_SECONDS)
    finally:
        field.signal("mailbox", signal.SIGCONT)
    return f"the mailbox stood still for {FROZEN_SECONDS} s"


FAULTS: dict[str, Fault] = {
    "join-leave": join_and_leave,
    "join-die": join_and_die,
    "terminate": terminate,
    "kill": kill,
    "freeze": freeze,
    "broker-stop": stop_broker,
    "broker-kill": kill_broker,
    "database": restart_database,
    "hang": hang_handlers,
    "poison": poison,
    "mailbox": freeze_mailbox,
}


def _poison(chance: random.Random) -> tuple[bytes, bytes | None, list[tuple[str, bytes]]]:
    key = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    headers = envelope.headers(uuid.UUID(int=chance.getrandbits(128), version=4), "soms.order.paid.v1", "/chaos", dt.datetime.now(dt.UTC))
    order = {"order_id": key, "number": "?", "status": "paid", "user_id": None, "email": "x", "currency": "GBP", "total": 1}
    wrong = order | {"version": 10**30, "lines": [], "placed_at": "2026-01-01T00:00Z", "at": "2026-01-01T00:00Z"}
    values = (None, b"", chance.randbytes(200), b"[" * 10_000, json.dumps(order).encode(), json.dumps(wrong).encode())
    return key.encode(), chance.choice(values), chance.choice((headers, headers[2:]))


async def _ended(field: Field, name: str, number: signal.Signals) -> str:
    """Send the signal and wait until another is there in its place."""
    hit = set(field.signal(name, number))
    back = await field.until(lambda: (now := set(field.pids(name))) and not now & hit, BACK_SECONDS)
    if not back:
        raise SystemExit(f"{name} is not back {BACK_SECONDS} s after {number.name}")
    return f"{name} got {number.name}"


async def _listening(field: Field) -> str:
    """How long it took the broker to take requests again."""
    start = time.monotonic()
    for _ in range(BACK_SECONDS):
        with contextlib.suppress(KafkaError, OSError, TimeoutError):
            async with administration(_settings(field).kafka or "") as admin:
                await admin.describe_cluster()
            return f"back {time.monotonic() - start:.0f} s later"
        await asyncio.sleep(1)
    raise SystemExit(f"the broker is not back after {BACK_SECONDS} s")


def _settings(field: Field) -> Settings:
    return Settings(home=field.home)
