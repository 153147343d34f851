"""A stack of its own, started as a user starts it, and the CPU time of its processes."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")
READY_SECONDS = 120


class Stack(NamedTuple):
    """A running stack: its state folder, gateway port, supervisor, and how long it took to be ready."""

    home: Path
    port: int
    process: subprocess.Popen[str]
    ready_seconds: float

    def command(self, *arguments: str) -> str:
        """What a `soms` command prints."""
        return subprocess.run(
            [sys.executable, "-m", "soms", *arguments], env=environment(self.home, self.port), capture_output=True, text=True, check=True
        ).stdout.strip()


def environment(home: Path, port: int) -> dict[str, str]:
    """The variables of a stack without rate limits."""
    return {**os.environ, "SOMS_HOME": str(home), "SOMS_WEB_PORT": str(port), "SOMS_RATE_LIMIT": "off", "PYTHONUNBUFFERED": "1"}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(home: Path, *scale: str) -> Iterator[Stack]:
    """`soms up` in `home`, until the end of the block."""
    port, start = free_port(), time.perf_counter()
    command = [sys.executable, "-m", "soms", "up", *scale]
    with (home / "bench.log").open("a") as log:
        process = subprocess.Popen(command, env=environment(home, port), stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            yield Stack(home, port, process, _ready(process, start))
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)


def _ready(process: subprocess.Popen[str], start: float) -> float:
    for line in process.stdout or ():
        if "SOMS is ready" in line:
            os.set_blocking(process.stdout.fileno(), False)  # type: ignore[union-attr]
            return time.perf_counter() - start
        if time.perf_counter() - start > READY_SECONDS:
            break
    raise SystemExit(f"the stack was not ready within {READY_SECONDS} s")


def cpu_seconds(root: int) -> dict[str, float]:
    """CPU seconds so far of every process below `root`, by name, ended children included."""
    parents, stats = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            parents[int(entry.name)] = int(fields[1])
            stats[int(entry.name)] = sum(map(int, fields[11:15])) / TICKS
    below: dict[str, float] = {}
    for pid, seconds in stats.items():
        if _is_below(pid, root, parents):
            name = _name(pid)
            below[name] = below.get(name, 0) + seconds
    return below


def _is_below(pid: int, root: int, parents: dict[int, int]) -> bool:
    for _ in range(32):
        if pid in {0, 1, root}:
            break
        pid = parents.get(pid, 0)
    return pid == root


def _name(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return "other"
    for mark, name in MARKS.items():
        if mark in words:
            return name
    return "other"


MARKS = {
    "soms.rpc.user": "user",
    "soms.rpc.product": "product",
    "soms.rpc.order": "order",
    "soms.web": "web",
    "soms.agents.relay": "relay",
    "soms.agents.inventory": "inventory",
    "soms.agents.notification": "notification",
    "soms.agents.analytics": "analytics",
    "kafka.Kafka": "kafka",
    "SpringApplication": "eureka",
    "postgres": "postgres",
    "mailbox": "mailbox",
    "soms up": "supervisor",
}
