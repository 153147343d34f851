"""Ports on loopback: chosen free once, kept in the state folder ever after."""

import contextlib
import json
import random
import socket
from pathlib import Path

from soms.errors import FailedPrecondition

# Below the range the system takes for outgoing connections, so that a reconnecting client cannot take an engine's port.
CHOICE = range(15_000, 32_000)
TRIES = 200


def free(address: str, port: int) -> bool:
    """Whether a server could listen on `address`:`port` now."""
    with contextlib.closing(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True


def choose(count: int, address: str = "127.0.0.1") -> list[int]:
    """`count` different ports that are free now."""
    chosen: list[int] = []
    for port in random.sample(CHOICE, TRIES):
        if len(chosen) < count and free(address, port):
            chosen.append(port)
    if len(chosen) < count:
        raise FailedPrecondition(f"no {count} free ports on {address} among {TRIES} tried in {CHOICE.start}-{CHOICE.stop}")
    return chosen


def kept(file: Path, *names: str) -> dict[str, int]:
    """The port of each of `names` as `file` keeps it, chosen and written there at first."""
    known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    missing = [name for name in names if name not in known]
    if missing:
        known |= dict(zip(missing, choose(len(missing)), strict=True))
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".draft")
        draft.write_text(json.dumps(known))
        draft.replace(file)
    return {name: known[name] for name in names}
