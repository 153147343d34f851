"""What all engines share: first-start work, start, ready within a deadline, a log file, a clean stop.

Knows no engine by name. Whoever starts one holds its home alone (`up.only_one`).
"""

import abc
import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from soms.errors import FailedPrecondition, Unavailable
from soms.local import child, ports

POLL_SECONDS = 0.05
LARGEST_LOG_BYTES = 16 << 20
# Engines take nothing from the user's environment: a stray PGPORT or SERVER_PORT must not bend them.
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


class Engine(abc.ABC):
    """A server that SOMS leans on, started from its own binaries, with its data in `home/<name>`."""

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    ready_seconds: ClassVar[float] = 90
    stop_seconds: ClassVar[float] = 15

    def __init__(self, home: Path) -> None:
        """Keep data in `home/<name>` and the log in `home/log/<name>.log`."""
        self.home = home.resolve()
        self.folder = self.home / self.name
        self.log = self.home / "log" / f"{self.name}.log"
        self.child: child.Child | None = None
        self.say: Callable[[str], None] = lambda _line: None

    @property
    @abc.abstractmethod
    def ports(self) -> tuple[int, ...]:
        """The loopback ports it listens on."""

    @property
    @abc.abstractmethod
    def record(self) -> Mapping[str, Any]:
        """What `engines.json` says about it."""

    @property
    @abc.abstractmethod
    def address(self) -> str:
        """Where people or tools reach it, without secrets."""

    @abc.abstractmethod
    async def prepare(self) -> None:
        """Fetch and lay out what a start needs; whole or not at all, so that a kill at any moment does no harm."""

    @abc.abstractmethod
    def command(self) -> list[str]:
        """The command that runs it in the foreground."""

    @abc.abstractmethod
    async def probe(self) -> None:
        """Return once it really answers; raise OSError or TimeoutError while it does not."""

    async def start(self) -> child.Child:
        """Start it and wait until it answers; raises Unavailable with the end of its log when it does not."""
        began = time.monotonic()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        await self.prepare()
        if taken := [str(port) for port in self.ports if not ports.free("127.0.0.1", port)]:
            raise FailedPrecondition(f"port {', '.join(taken)} of {self.name} is taken by another program; end it, then start again")
        started = self.child = await self._spawn()
        try:
            await self._ready(started)
        except BaseException:
            await started.stop(self.stop_seconds)
            raise
        self.say(f"ready after {time.monotonic() - began:.1f} s on port {self.ports[0]}")
        return started

    async def stop(self) -> None:
        """End it cleanly, by force after `stop_seconds`."""
        if self.child:
            await self.child.stop(self.stop_seconds)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[child.Child]:
        """The engine, ready, for the length of a block."""
        try:
            yield await self.start()
        finally:
            await self.stop()

    def environment(self) -> dict[str, str]:
        """What the engine finds in its environment."""
        return child.marked(ENVIRONMENT, self.home)

    async def _spawn(self) -> child.Child:
        if self.log.exists() and self.log.stat().st_size > LARGEST_LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as log:
            return await child.Child.spawn(self.command(), self.environment(), log, self.stop_signal)

    async def _run(self, command: list[str], seconds: float) -> None:
        """A program of the engine that must end well, such as the one that lays out its data folder."""
        with self.log.open("ab") as log:
            code = await child.run(command, self.environment(), seconds=seconds, output=log)
        if code:
            raise Unavailable(f"preparing {self.name} ended with code {code}; the end of {self.log}:\n{tail(self.log)}")

    async def _ready(self, started: child.Child) -> None:
        refusal: Exception | None = None
        try:
            async with asyncio.timeout(self.ready_seconds):
                while not started.ended:
                    try:
                        return await self.probe()
                    except (OSError, TimeoutError) as error:
                        refusal = error
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            pass
        late = f"did not answer in {self.ready_seconds:.0f} s ({refusal})"
        what = f"ended with code {started.process.returncode}" if started.ended else late
        raise Unavailable(f"{self.name} {what}; the end of {self.log}:\n{tail(self.log)}")


def tail(file: Path, lines: int = 15) -> str:
    """The last `lines` of a log."""
    with file.open("rb") as log:
        log.seek(max(0, file.stat().st_size - 64_000))
        return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
