"""One child process: an own session, a signal that ends it when its supervisor dies, a clean stop with a deadline.

Knows nothing of what the child does. Linux is needed for what happens after a `kill -9` of the supervisor.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from soms.errors import Unavailable
from soms.local.relay import Relay, Say

MARK = "SOMS_STACK"


class Child:
    """A running process and everything it started."""

    def __init__(self, process: asyncio.subprocess.Process, stop_signal: signal.Signals, relay: Relay | None) -> None:
        """Take over `process`; `stop_signal` asks it to end cleanly, `relay` reads what it says."""
        self.process = process
        self.stop_signal = stop_signal
        self._relay = relay

    @classmethod
    async def spawn(
        cls,
        command: Sequence[str],
        environment: Mapping[str, str],
        output: IO[bytes] | Say,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> Self:
        """Start `command` in a session of its own, output and errors to a file or line by line to a function.

        It gets `stop_signal` from the kernel when the thread that calls this ends, however it ends.
        """
        if not callable(output):
            return cls(await _start(command, environment, output, stop_signal), stop_signal, None)
        relay = await Relay.open(output)
        try:
            process = await _start(command, environment, relay.writer, stop_signal)
        finally:
            relay.handed_over()
        return cls(process, stop_signal, relay)

    @property
    def ended(self) -> bool:
        """Whether the process itself is gone."""
        return self.process.returncode is not None

    async def wait(self) -> int:
        """The exit code, negative for a signal, once it has ended."""
        return await self.process.wait()

    async def stop(self, grace_seconds: float) -> None:
        """Ask it to end, wait at most `grace_seconds`, then kill whatever is left of its group."""
        try:
            if not self.ended:
                self._signal(self.stop_signal)
                async with asyncio.timeout(grace_seconds):
                    await self.wait()
        except TimeoutError:
            pass
        finally:
            self._signal(signal.SIGKILL)
        await self.wait()
        if self._relay:
            await self._relay.close()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


async def run(command: Sequence[str], environment: Mapping[str, str], *, seconds: float, output: IO[bytes] | Say) -> int:
    """Run `command` to its end and give its exit code; killed, and Unavailable raised, after `seconds`."""
    started = await Child.spawn(command, environment, output)
    try:
        async with asyncio.timeout(seconds):
            return await started.wait()
    except TimeoutError:
        raise Unavailable(f"{command[0]} did not end in {seconds:g} s and was killed") from None
    finally:
        await started.stop(grace_seconds=0)


async def _start(
    command: Sequence[str], environment: Mapping[str, str], output: IO[bytes] | int, stop_signal: signal.Signals
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *_ends_with_parent(stop_signal),
        *command,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )


def _ends_with_parent(stop_signal: signal.Signals) -> list[str]:
    """A prefix that asks the kernel for `stop_signal` at the parent's death; a hook before exec would be unsafe beside threads."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", stop_signal.name, "--"] if setpriv else []


def marked(environment: Mapping[str, str], home: Path) -> dict[str, str]:
    """`environment` plus the mark by which a later supervisor of `home` knows the child as one of its own."""
    return {**environment, MARK: str(home.resolve())}


async def end_stragglers(home: Path, grace_seconds: float = 10) -> int:
    """Wait for children of a killed supervisor of `home`, which end by themselves, and kill those that do not.

    Tells how many there were.
    """
    found = first = set(stragglers(home))
    deadline = time.monotonic() + grace_seconds
    while found and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        found = set(stragglers(home))
    for process_id in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
    return len(first)


def stragglers(home: Path) -> Iterator[int]:
    """The ids of the processes that bear the mark of `home`."""
    mark = f"{MARK}={home.resolve()}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                yield int(folder.name)
