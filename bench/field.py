"""A running stack to be hurt: its processes by name, signals for them, more of them. Knows no fault and no load."""

import asyncio
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from bench.stack import READY_SECONDS, environment, free_port
from soms.local import procfile
from soms.local.child import marked, stragglers

ROOT = Path(__file__).parents[1]
# a word of its command by which a process is known, where it is no module of the Procfile
ENGINES = {"postgres": "postgres", "kafka": "kafka.Kafka", "mailbox": "soms.local.mailbox_server"}
LEAVE_SECONDS = 30


class Field:
    """The stack in `home`, whose gateway has `port`."""

    def __init__(self, home: Path, port: int) -> None:
        """It runs already."""
        self.home, self.port = home, port
        self.environment = environment(home, port)
        lines = procfile.processes((ROOT / "Procfile").read_text(), {})
        self.commands = {process.name: shlex.split(process.command) for process in lines}
        self.agents = [name for name, command in self.commands.items() if "soms.agents." in " ".join(command)]

    def pids(self, name: str) -> list[int]:
        """The processes of this name."""
        word = ENGINES.get(name) or self.commands[name][-1]
        found = []
        for pid in stragglers(self.home):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                if word in (*words, Path(words[0]).name):
                    found.append(pid)
        return found

    def signal(self, name: str, number: signal.Signals) -> list[int]:
        """Send a signal to all of this name; which they were."""
        return [pid for pid in self.pids(name) if _signalled(pid, number)]

    @contextlib.asynccontextmanager
    async def another(self, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """One more process of this name; told to leave at the end. Raises SystemExit if it does not leave in time."""
        command = [sys.executable, *self.commands[name][1:]]
        with (self.home / "chaos.log").open("ab") as log:
            started = await asyncio.create_subprocess_exec(*command, env=marked(self.environment, self.home), stdout=log, stderr=log)
        try:
            yield started
        finally:
            _signalled(started.pid, signal.SIGTERM)
            try:
                async with asyncio.timeout(LEAVE_SECONDS):
                    await started.wait()
            except TimeoutError:
                started.kill()
                raise SystemExit(f"a second {name} did not leave within {LEAVE_SECONDS} s") from None

    async def until(self, condition: Callable[[], object], seconds: float) -> bool:
        """Wait for it; whether it came true in time."""
        deadline = time.monotonic() + seconds
        while not (there := condition()) and time.monotonic() < deadline:  # noqa: ASYNC110 - it comes true in another process
            await asyncio.sleep(0.2)
        return bool(there)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a `soms` command to its end."""
        command = [sys.executable, "-m", "soms", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=300)


@contextlib.contextmanager
def own(home: Path) -> Iterator[Field]:
    """`soms up` in `home` until the end of the block; what it says is in `up.log` there."""
    port, log = free_port(), home / "up.log"
    with log.open("w") as output:
        process = subprocess.Popen([sys.executable, "-m", "soms", "up"], env=environment(home, port), stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while "SOMS is ready" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the stack did not come up:\n{log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield Field(home, port)
    finally:
        process.terminate()
        process.wait(timeout=60)


def _signalled(pid: int, number: signal.Signals) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
