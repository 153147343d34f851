"""A waiter with a deadline, and whole stacks run the way `soms up` runs them, on a Procfile of the test's own."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from soms.local import child, ports

PROGRAM = """
import sys
from soms.local.procfile import processes
from soms.local.up import Plan, supervise
supervise(Plan(processes(sys.argv[1], {}), *[["/bin/sh", "-c", sys.argv[2]]] * 3))
"""
PROCFILE = """
clock: echo started $$; exec sleep 1000
web: python -c "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=int('$SOMS_WEB_PORT'), bind='127.0.0.1')"
"""


async def wait_until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    """The first true answer of `condition`, which may be a coroutine function; OSError counts as no."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            answer = condition()
            if isinstance(answer, Awaitable):
                answer = await answer
        except OSError:
            answer = None
        if answer:
            return answer
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {condition}")


@pytest.fixture(scope="session")
def until() -> Callable[..., Awaitable[Any]]:
    """The waiter."""
    return wait_until


class Stack:
    """A supervisor in a process of its own on `home`."""

    def __init__(self, home: Path, web_port: int) -> None:
        """Nothing runs yet."""
        self.home = home
        self.web_port = web_port
        self.output = home.with_suffix(".output")
        self.process: asyncio.subprocess.Process | None = None

    async def begin(self, procfile: str = PROCFILE, preparation: str = "true") -> None:
        """Start it, with a line for a shell as migration, topics and seed; a folder with a file `readyz` stands for the gateway."""
        pages = self.home.with_suffix(".pages")
        pages.mkdir(exist_ok=True)
        (pages / "readyz").touch()
        variables = {**os.environ, "SOMS_HOME": str(self.home), "SOMS_WEB_PORT": str(self.web_port)}
        with self.output.open("wb") as output:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-W", "error", "-c", PROGRAM, procfile, preparation, cwd=pages, env=variables, stdout=output, stderr=output
            )

    def said(self) -> str:
        """All it said since it began."""
        return self.output.read_text()

    async def line(self, text: str, seconds: float = 60) -> str:
        """Wait for a line that contains `text`."""

        def found() -> str | None:
            assert self.process
            assert self.process.returncode is None, self.said()
            return next((line for line in self.said().splitlines() if text in line), None)

        return await wait_until(found, seconds)

    async def ready(self) -> None:
        """Wait for the line that scripts wait for."""
        await self.line("SOMS is ready")

    def engines(self) -> dict[str, Any]:
        """What `engines.json` says."""
        return json.loads((self.home / "engines.json").read_text())

    def alive(self) -> dict[int, str]:
        """Everything that runs on behalf of this stack, by process id."""
        return {one: Path(f"/proc/{one}/cmdline").read_text().replace("\0", " ") for one in child.stragglers(self.home)}

    def running(self, text: str) -> int:
        """The id of the process of this stack whose command contains `text`."""
        return next(one for one, command in self.alive().items() if text in command)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal the supervisor alone and wait for its end."""
        assert self.process
        if self.process.returncode is None:
            self.process.send_signal(number)
        async with asyncio.timeout(40):
            return await self.process.wait()


@pytest.fixture(scope="module")
async def stacks(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Stack, Stack]]:
    """Two stacks side by side, up."""
    both = tuple(Stack(tmp_path_factory.mktemp(name) / "var", port) for name, port in zip(("a", "b with ä"), ports.choose(2), strict=True))
    for stack in both:
        await stack.begin()
    try:
        for stack in both:
            await stack.ready()
        yield both
    finally:
        for stack in both:
            await stack.end()
