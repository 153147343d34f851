"""The supervisor behind `soms up` and `soms engines`: engines, preparations, every process of the Procfile, one clean end."""

import asyncio
import contextlib
import functools
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from soms.config import Settings
from soms.errors import FailedPrecondition, Unavailable
from soms.local import child, ports, procfile, stack
from soms.local.engine import Engine
from soms.local.http import status
from soms.local.keeper import Keeper
from soms.local.procfile import Process
from soms.local.terminal import Terminal

PREPARE_SECONDS = 120
READY_SECONDS = 120
POLL_SECONDS = 0.2
PROBE_SECONDS = 5
GRACE_SECONDS = 20
SAME_SIGNAL_SECONDS = 2.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def soms(command: str) -> list[str]:
    """One of our own commands in a process of its own: it may import what it likes."""
    return [sys.executable, "-m", "soms", command]


@dataclass(frozen=True)
class Plan:
    """What runs on the engines: `migrate` once PostgreSQL is ready, `topics` once Kafka is, `seed` beside the processes, which it needs."""

    processes: Sequence[Process] = ()
    migrate: Sequence[str] = field(default_factory=lambda: soms("migrate"))
    topics: Sequence[str] = field(default_factory=lambda: soms("topics"))
    seed: Sequence[str] = field(default_factory=lambda: soms("seed"))

    @property
    def serves(self) -> bool:
        """Whether a gateway is among the processes."""
        return any(process.name == "web" for process in self.processes)


class Supervisor:
    """One stack: a state folder held alone, its engines, its processes."""

    def __init__(self, settings: Settings, plan: Plan, say: Callable[[str, str], None]) -> None:
        """Run `plan` on the engines of `settings`; `say` gets a name and a line for people."""
        self.settings = settings
        self.plan = plan
        self.say = say
        # on one machine each process has a port of its own
        variables = settings.environment() | {"SOMS_PORT": "0"}
        self.environment = child.marked(procfile.environment(variables), settings.home)

    async def run(self) -> None:
        """Bring everything up, say so, and stay until cancelled; raises SomsError when it does not come up."""
        if count := await child.end_stragglers(self.settings.home):
            self.say("", f"{count} processes of a supervisor that was killed have ended")
        self._check_web_port()
        engines = stack.local_engines(self.settings)
        stack.write_record(self.settings, engines)
        async with stack.running(engines, self.say) as kept, self._processes() as start_processes:
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._database(kept, start_processes))
                    group.create_task(self._topics(kept))
                    for keeper in kept.values():
                        group.create_task(keeper.started())
            except ExceptionGroup as errors:
                raise first(errors) from None
            await self._ready()
            self._announce(engines)
            await asyncio.Event().wait()

    def _check_web_port(self) -> None:
        host, port = self.settings.web_host, self.settings.web_port
        if self.plan.serves and not ports.free(host, port):
            raise FailedPrecondition(f"port {port} on {host} is taken: end the program that has it, or set SOMS_WEB_PORT to a free port")

    async def _database(self, kept: Mapping[str, Keeper], start_processes: Callable[[], None]) -> None:
        """Processes start as soon as their tables are there: they wait for the other engines by themselves."""
        if postgres := kept.get("postgres"):
            await postgres.started()
        await self._prepare("migrate", self.plan.migrate)
        start_processes()
        if self.plan.processes:
            await self._prepare("seed", self.plan.seed)

    async def _topics(self, kept: Mapping[str, Keeper]) -> None:
        if kafka := kept.get("kafka"):
            await kafka.started()
        await self._prepare("topics", self.plan.topics)

    async def _prepare(self, name: str, command: Sequence[str]) -> None:
        code = await child.run(command, self.environment, seconds=PREPARE_SECONDS, output=functools.partial(self.say, name))
        if code:
            raise Unavailable(f"{name} ended with code {code}; what it said is above")

    @contextlib.asynccontextmanager
    async def _processes(self) -> AsyncIterator[Callable[[], None]]:
        """Gives the function that starts them; ends them all at once."""
        keepers: list[Keeper] = []

        def start() -> None:
            keepers.extend(self._keep(process) for process in self.plan.processes)

        try:
            yield start
        finally:
            if keepers:
                self.say("", "stopping")
            await asyncio.gather(*(keeper.stop() for keeper in keepers))

    def _keep(self, process: Process) -> Keeper:
        say = functools.partial(self.say, process.name)
        return Keeper(functools.partial(child.Child.spawn, process.shell(), self.environment, say), say, GRACE_SECONDS)

    async def _ready(self) -> None:
        """Wait until the gateway says that it and all behind it can serve."""
        url = f"{stack.web_url(self.settings)}/readyz"
        deadline = time.monotonic() + READY_SECONDS
        while self.plan.serves and time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                if await asyncio.to_thread(status, url, PROBE_SECONDS) == HTTPStatus.OK:
                    return
            await asyncio.sleep(POLL_SECONDS)
        if self.plan.serves:
            raise Unavailable(f"not ready after {READY_SECONDS} s; `curl {url}` tells what is missing")

    def _announce(self, engines: Sequence[Engine]) -> None:
        """The URLs, what to try first, and last the line that scripts wait for."""
        url = stack.web_url(self.settings)
        for engine in engines:
            self.say("", f"{engine.name}: {engine.address}")
        if self.plan.serves:
            self.say("", f"documentation: {url}/docs")
            self.say("", f"first request: curl {url}/api/v1/products")
        else:
            self.say("", "in another terminal: honcho start; then, once: soms seed")
        self.say("", f"SOMS is ready: {url}" if self.plan.serves else "engines are ready")


def first(error: Exception) -> Exception:
    """The error that brought a group of tasks down."""
    return first(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error


def supervise(plan: Plan) -> None:
    """Run `plan` until SIGINT, SIGTERM or SIGHUP, then end all of it cleanly; another after two seconds kills what is left.

    Raises SomsError when it does not come up.
    """
    with stack.alone(Settings().home):
        settings = stack.own_settings()
        with Terminal.standard(process.name for process in plan.processes) as terminal:
            asyncio.run(_until_signalled(Supervisor(settings, plan, terminal.say).run()))


async def _until_signalled(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.ensure_future(work)
    told: list[float] = []

    def stop() -> None:
        """Wrappers such as make and timeout deliver one signal twice: only a later one means impatience."""
        told.append(time.monotonic())
        if len(told) == 1 or told[-1] - told[0] > SAME_SIGNAL_SECONDS:
            task.cancel()

    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_IGN and number is signal.SIGHUP:  # nohup
            continue
        asyncio.get_running_loop().add_signal_handler(number, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await task
