"""SOMS as a wheel: in an environment of its own, without the repository, everything comes up and an order goes through."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest

from soms.local import ports
from soms.local.child import Child, run, stragglers

Eventually = Callable[[Callable[[], Awaitable[object]], float], Awaitable[None]]
READY_SECONDS = 60
GRACE_SECONDS = 30

pytestmark = pytest.mark.timeout(150)


class Installed(NamedTuple):
    """A stack out of the wheel: the folder of its commands, its gateway, its environment and what it has said so far."""

    commands: Path
    url: str
    environment: dict[str, str]
    output: Path


@pytest.fixture
async def installed(install: Callable[[], Path], tmp_path: Path, eventually: Eventually) -> AsyncIterator[Installed]:
    """`soms up` out of the wheel, ready, in an empty folder; SIGTERM must end all of it."""
    commands = install()
    (port,) = ports.choose(1)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SOMS_", "PYTHON"))}
    environment = inherited | {"SOMS_WEB_PORT": str(port), "PATH": f"{commands}:{os.environ['PATH']}"}
    stack = Installed(commands, f"http://127.0.0.1:{port}", environment, tmp_path / "output")
    with stack.output.open("wb") as output:
        up = await Child.spawn(("env", f"--chdir={tmp_path}", str(commands / "soms"), "up"), environment, output)
    try:
        await eventually(lambda: _ready(up, stack.output), READY_SECONDS)
        assert not up.ended, stack.output.read_text()
        yield stack
    finally:
        await up.stop(GRACE_SECONDS)
    assert (await up.wait(), list(stragglers(tmp_path / "var"))) == (0, [])


async def test_an_order_without_the_repository(installed: Installed, tmp_path: Path, eventually: Eventually) -> None:
    """The pages, the order and its mail: static files, stubs, migrations, locks of engines and templates came with the wheel."""
    async with aiohttp.ClientSession(installed.url) as session:
        for path in ("/docs", "/static/docs.js", "/openapi.json", "/readyz"):
            async with session.get(path) as answer:
                assert (path, answer.status) == (path, 200)
    said = tmp_path / "said"
    with said.open("wb") as output:
        place = ("env", f"--chdir={tmp_path}", str(installed.commands / "soms"), "place", "MUG-BLUE=2", "--email", "ann@example.org")
        code = await run(place, installed.environment, seconds=30, output=output)
    assert code == 0, said.read_text()
    await eventually(lambda: _mailed(tmp_path / "var/mailbox"), 20)


async def _ready(up: Child, output: Path) -> bool:
    return up.ended or "\nSOMS is ready" in await asyncio.to_thread(output.read_text)


async def _mailed(folder: Path) -> bool:
    """Whether a mail tells of the order."""
    return await asyncio.to_thread(lambda: any(b"MUG-BLUE" in mail.read_bytes() for mail in folder.glob("*.eml")))
