"""Whole stacks: the real engines under the real supervisor. Starts are slow, so two stacks serve all tests, in this order."""

import asyncio
import email.message
import os
import signal
import smtplib
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import TopicPartition

from soms.config import Settings
from soms.errors import FailedPrecondition
from soms.local import stack, up

Stack = Any
ENGINES = ("bin/postgres", "kafka.Kafka", "SpringApplication", "mailbox_server")


async def sql(one: Stack, statement: str) -> Any:
    """One value from its database."""
    connection = await asyncpg.connect(Settings(home=one.home).postgres, timeout=5)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def write_record(one: Stack, value: bytes) -> None:
    """A topic with one record."""
    admin = AIOKafkaAdminClient(bootstrap_servers=one.engines()["kafka"]["bootstrap"])
    await admin.start()
    await admin.create_topics([NewTopic("kept", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=one.engines()["kafka"]["bootstrap"]) as producer:
        await producer.send_and_wait("kept", value)


async def read_record(one: Stack) -> bytes:
    """The first record of the topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=one.engines()["kafka"]["bootstrap"], auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition("kept", 0)])
        return (await asyncio.wait_for(consumer.getone(), 20)).value
    finally:
        await consumer.stop()


async def json(url: str) -> Any:
    """What a server says in JSON."""
    async with aiohttp.ClientSession() as session, session.get(url, headers={"Accept": "application/json"}) as answer:
        return await answer.json()


async def mails(one: Stack) -> list[str]:
    """The subjects its mailbox shows."""
    try:
        return [mail["subject"] for mail in await json(one.engines()["mailbox"]["url"] + "/messages")]
    except aiohttp.ClientError:
        return []


async def registry(one: Stack) -> Any:
    """All that is registered."""
    try:
        return await json(one.engines()["eureka"]["url"] + "/apps")
    except aiohttp.ClientError:
        return None


def send_mail(one: Stack, subject: str) -> None:
    """A mail to anybody."""
    message = email.message.EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "a@example.com", "b@example.com"
    host, port = one.engines()["mailbox"]["smtp"].split(":")
    with smtplib.SMTP(host, int(port), timeout=5) as server:
        server.send_message(message)


async def fill(one: Stack) -> None:
    """Something to keep in every engine that keeps things."""
    await sql(one, "create table kept as select 42 as answer")
    await write_record(one, str(one.home).encode())
    await asyncio.to_thread(send_mail, one, str(one.home))


async def assert_filled(one: Stack) -> None:
    """It is all there."""
    assert await sql(one, "select answer from kept") == 42
    assert await read_record(one) == str(one.home).encode()
    assert await mails(one) == [str(one.home)]
    assert (await registry(one))["applications"] is not None


async def test_two_stacks_run_side_by_side(stacks: tuple[Stack, Stack]) -> None:
    """Each with its own engines and data."""
    for one in stacks:
        await fill(one)
    for one in stacks:
        await assert_filled(one)


async def test_the_record_has_the_promised_shape(stacks: tuple[Stack, Stack]) -> None:
    """`engines.json` as the REST contract says, for its owner alone; the last line told is the one that scripts wait for."""
    one = stacks[0]
    shape = {name: set(members) for name, members in one.engines().items()}
    postgres = {"host", "port", "database", "user", "password"}
    assert shape == {"postgres": postgres, "kafka": {"bootstrap"}, "eureka": {"url"}, "mailbox": {"smtp", "url"}, "web": {"url"}}
    assert (one.home / "engines.json").stat().st_mode & 0o777 == 0o600
    assert one.engines()["web"]["url"] == f"http://127.0.0.1:{one.web_port}"
    told = [line for line in one.said().splitlines() if "|" not in line]
    assert told[-1].startswith("SOMS is ready")
    assert any("curl " in line for line in told)


async def test_a_second_supervisor_is_refused(stacks: tuple[Stack, Stack]) -> None:
    """One per state folder, and the first is not disturbed."""
    with pytest.raises(FailedPrecondition, match=r"runs already.*SOMS_HOME"), stack.alone(stacks[0].home):
        pass
    assert await sql(stacks[0], "select 1") == 1


async def test_what_dies_is_started_again_with_its_data(stacks: tuple[Stack, Stack], until: Callable) -> None:
    """Even after kill -9 of every engine and of a process."""
    one = stacks[0]
    before = {text: one.running(text) for text in (*ENGINES, "sleep 1000")}
    for process_id in before.values():
        os.kill(process_id, signal.SIGKILL)
    await until(lambda: all(process_id not in one.alive() for process_id in before.values()))
    await until(lambda: one.said().count(" | ready after") == 8, 60)
    await until(lambda: one.said().count("started") == 2)
    await assert_filled(one)


async def test_nothing_survives_a_killed_supervisor_but_the_data(stacks: tuple[Stack, Stack], until: Callable) -> None:
    """After kill -9 of the supervisor everything ends by itself; the next start, at once, has the same ports and data."""
    one = stacks[0]
    record = one.engines()
    processes = set(one.alive())
    await one.end(signal.SIGKILL)
    await one.begin()
    await one.ready()
    assert not processes & set(one.alive())
    assert one.engines() == record
    assert (one.home / "log" / "postgres.log").read_text().count("was interrupted") == 1, "only the kill of the test before was hard"
    await assert_filled(one)


async def test_sigterm_to_the_supervisor_alone_ends_everything(stacks: tuple[Stack, Stack]) -> None:
    """Processes first, engines in reverse order, no process left, the other stack untouched."""
    one, other = stacks
    assert await one.end() == 0
    assert one.alive() == {}
    told = one.said().splitlines()
    stopped = [line.split(" ")[0] for line in told[told.index("stopping") :] if line.endswith("| stopped")]
    assert stopped == ["mailbox", "eureka", "kafka", "postgres"]
    await assert_filled(other)


async def test_a_taken_web_port_is_told_before_anything_starts(stacks: tuple[Stack, Stack]) -> None:
    """With the setting that helps."""
    one = stacks[0]
    with socket.create_server(("127.0.0.1", one.web_port)):
        await one.begin()
        assert await one.end(signal.SIGCONT) == 1
    assert f"port {one.web_port}" in one.said()
    assert "SOMS_WEB_PORT" in one.said()
    assert "ready" not in one.said()


async def test_a_start_can_be_broken_off(stacks: tuple[Stack, Stack], tmp_path: Path) -> None:
    """SIGTERM while engines lay out their data leaves no process, and no half-made folder that a start would take for whole."""
    one = type(stacks[0])(tmp_path / "c", stacks[0].web_port)
    await one.begin()
    await one.line("formatting its data folder")
    assert await one.end() == 0
    assert one.alive() == {}
    assert not (one.home / "kafka").exists()


async def test_a_preparation_that_fails_ends_the_start(stacks: tuple[Stack, Stack]) -> None:
    """What it said is shown, the error is the one that matters, and nothing stays behind."""
    one = stacks[0]
    await one.begin(preparation="echo no such table; exit 3")
    assert one.process
    assert await asyncio.wait_for(one.process.wait(), 60) == 1
    assert "migrate | no such table" in one.said()
    assert one.said().splitlines()[-1] == "soms.errors.Unavailable: migrate ended with code 3; what it said is above"
    assert one.alive() == {}


async def test_a_later_signal_kills_but_not_the_same_one_delivered_twice(stacks: tuple[Stack, Stack], until: Callable) -> None:
    """Who cannot wait for a process that will not end need not; wrappers that pass a signal on do no harm."""
    one = stacks[0]
    await one.begin("deaf: trap '' TERM; echo deaf; while :; do sleep 1; done")
    await one.line("| deaf")
    assert one.process
    one.process.send_signal(signal.SIGINT)
    one.process.send_signal(signal.SIGTERM)
    await one.line("stopping")
    impatient = time.monotonic() + up.SAME_SIGNAL_SECONDS
    await until(lambda: time.monotonic() > impatient)
    assert one.running("sleep 1")
    async with asyncio.timeout(10):
        assert await one.end() == 0
    assert one.alive() == {}


def test_engines_named_by_settings_are_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever has an address already runs elsewhere; an old record of ours is no such address."""
    (tmp_path / "engines.json").write_text('{"kafka": {"bootstrap": "127.0.0.1:1"}}')
    monkeypatch.setenv("SOMS_HOME", str(tmp_path))
    monkeypatch.setenv("SOMS_POSTGRES", "postgresql://somewhere/soms")
    monkeypatch.setenv("SOMS_SMTP", "somewhere:25")
    engines = stack.local_engines(stack.own_settings())
    assert [engine.name for engine in engines] == ["kafka", "eureka"]
