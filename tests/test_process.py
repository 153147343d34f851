"""How a process of SOMS ends."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

PROGRAM = """
import asyncio, os, signal
from soms.process import run

async def work(settings, stop):
    {}
    await asyncio.sleep(60)

run("trial", work)
"""


@pytest.mark.parametrize(
    ("happens", "code"),
    [
        ("os.kill(os.getpid(), signal.SIGTERM)", 0),
        ("os.kill(os.getpid(), signal.SIGINT)", 0),
        ("asyncio.current_task().cancel()", 1),
        ("raise ValueError", 1),
    ],
)
async def test_how_it_ends(tmp_path: Path, happens: str, code: int) -> None:
    """Told to leave before it is ready it ends with 0; a cancellation by anybody else is a crash like any other."""
    environment = {**os.environ, "SOMS_HOME": str(tmp_path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM.format(happens), env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(20):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)

    assert (process.returncode, bool(said)) == (code, bool(code))
