"""The running stack under load while agents, relay, broker and database stop, hang and die: nothing is lost, and everything agrees.

The short form of `make chaos`, by the same program.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 170


@pytest.mark.timeout(SECONDS + 30)
@pytest.mark.parametrize(
    "faults",
    ["join-leave,terminate,kill,poison,hang", "broker-stop,broker-kill,database"],
    ids=["agents", "engines"],
)
async def test_nothing_is_lost(stack: Any, faults: str) -> None:
    """Every order that was answered stands, every rule of `soms audit` holds, and nobody saw an internal error."""
    command = (sys.executable, "-m", "bench.chaos", "--faults", faults, "--home", str(stack.home), "--port", str(urlsplit(stack.url).port))
    async with asyncio.timeout(SECONDS):
        chaos = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=stack.environment, cwd=ROOT
        )
        said, _ = await chaos.communicate()

    assert chaos.returncode == 0, said.decode()
