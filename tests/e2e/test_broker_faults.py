"""The running stack under load while agents, relay, broker and database stop, hang and die: nothing is lost, and everything agrees.

The short form of `make chaos`, by the same program.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from soms.local.child import Child

ROOT = Path(__file__).parents[2]
SECONDS = 170


@pytest.mark.timeout(SECONDS + 30)
@pytest.mark.parametrize(
    "faults",
    ["join-leave,terminate,kill,poison,hang,mailbox", "broker-stop,broker-kill,database"],
    ids=["agents", "engines"],
)
async def test_nothing_is_lost(stack: Any, faults: str) -> None:
    """Every order that was answered stands, every rule of `soms audit` holds, and nobody saw an internal error."""
    said: list[str] = []
    command = (sys.executable, "-m", "bench.chaos", "--faults", faults, "--home", str(stack.home), "--port", str(urlsplit(stack.url).port))
    chaos = await Child.spawn(command, stack.environment | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}, said.append)
    try:
        async with asyncio.timeout(SECONDS):
            code = await chaos.wait()
    except TimeoutError:
        code = -1
    finally:
        await chaos.stop(grace_seconds=0)

    assert code == 0, "\n".join(said)
