"""The slots of a consumer on one machine: each worker holds one, and with it a stable name in the group, a port and a folder."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from soms.config import Settings
from soms.errors import FailedPrecondition

SLOTS: Final = 64


@dataclass
class Slot:
    """A place that one worker at a time holds.

    `member` is unique to this slot of this state folder, so that folders which share a Kafka do not take each other's place.
    `port` is the one that was last used, 0 at first.
    """

    number: int
    member: str
    port: int
    folder: Path

    def remember(self, port: int) -> None:
        """Use this port the next time too."""
        self.port = port
        _write(self.folder / "slot.json", {"member": self.member, "port": port})


@contextlib.contextmanager
def taken(settings: Settings, service: str, number: int | None = None) -> Iterator[Slot]:
    """Hold slot `number` of `service`, or the first that is free. It is free again when the process ends, however it ends.

    Raises FailedPrecondition where another process holds it.
    """
    for candidate in [number] if number is not None else range(SLOTS):
        folder = settings.home.resolve() / "agents" / f"{service}-{candidate}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("a+") as lock:
            if _locked(lock):
                yield _slot(candidate, folder)
                return
    wanted = f"slot {number}" if number is not None else f"each of {SLOTS} slots"
    raise FailedPrecondition(f"{wanted} of {service} in {settings.home} is taken by another process")


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return True


def _slot(number: int, folder: Path) -> Slot:
    file = folder / "slot.json"
    try:
        known = json.loads(file.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        known = {"member": f"{folder.name}-{secrets.token_hex(4)}", "port": 0}
        _write(file, known)
    return Slot(number, known["member"], known["port"], folder)


def _write(file: Path, content: dict[str, object]) -> None:
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(content))
    draft.replace(file)
