"""Child processes."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from soms.errors import Unavailable
from soms.local.child import Child, run


def gone(process_id: int) -> bool:
    """Whether it ended; one that nobody reaped has no command any more."""
    file = Path(f"/proc/{process_id}/cmdline")
    return not file.exists() or not file.read_bytes()


@pytest.fixture
async def spawn() -> AsyncIterator[Callable]:
    """Start a shell line; ended when the test is over."""
    children: list[Child] = []

    async def start(line: str, say: Callable[[str], None] = print) -> Child:
        children.append(await Child.spawn(["/bin/sh", "-c", line], os.environ, say))
        return children[-1]

    yield start
    for child in children:
        await child.stop(grace_seconds=0)


async def test_a_stubborn_child_is_killed(spawn: Callable) -> None:
    """What ignores its stop signal dies when the grace is over."""
    lines: asyncio.Queue[str] = asyncio.Queue()
    child = await spawn("trap '' TERM; echo deaf; while :; do sleep 1; done", lines.put_nowait)
    assert await asyncio.wait_for(lines.get(), 5) == "deaf"
    async with asyncio.timeout(5):
        await child.stop(grace_seconds=0.2)
    assert child.process.returncode == -signal.SIGKILL


async def test_the_end_is_seen_though_a_grandchild_holds_the_output(spawn: Callable, until: Callable) -> None:
    """And the grandchild ends with the child."""
    lines: asyncio.Queue[str] = asyncio.Queue()
    child = await spawn("sleep 1000 & echo $!; exit 7", lines.put_nowait)
    grandchild = int(await asyncio.wait_for(lines.get(), 5))
    assert await asyncio.wait_for(child.wait(), 5) == 7
    await child.stop(grace_seconds=1)
    await until(lambda: gone(grandchild))


async def test_lines_of_any_length_and_bytes_are_relayed() -> None:
    """An endless line is cut out, broken text is replaced, the last line needs no end."""
    lines: list[str] = []
    program = "import sys; o = sys.stdout.buffer; o.write(b'a\\n' + b'x' * 3_000_000 + b'\\n\\xff\\nlast')"
    assert await run([sys.executable, "-c", program], os.environ, seconds=20, output=lines.append) == 0
    assert lines[0] == "a"
    assert lines[1].startswith("(a line of more")
    assert lines[-2:] == ["\ufffd", "last"]


async def test_a_command_that_does_not_end_is_killed() -> None:
    """Its time is bounded."""
    with pytest.raises(Unavailable, match="sleep did not end"):
        await run(["sleep", "1000"], os.environ, seconds=0.1, output=print)
