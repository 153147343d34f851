"""Running a program that refuses to run as root, without touching the permissions of anything but its own data folder."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

from soms.errors import FailedPrecondition

NOBODY = 65534
# A user namespace in which root is called nobody: data and binaries may lie anywhere, no file changes its owner.
NAMESPACE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
DROPPED = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")


@functools.cache
def prefix() -> tuple[str, ...]:
    """What to put before a command so that it does not run as root; nothing for a plain user."""
    if os.geteuid():
        return ()
    return NAMESPACE if _works(*NAMESPACE, "true") else DROPPED


def hand_over(folder: Path, program: Path) -> None:
    """Make `folder` usable for `program` under `prefix()`.

    Raises FailedPrecondition where namespaces are forbidden and nobody can reach the folder or the program.
    """
    if prefix() != DROPPED:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    if not (_works(*DROPPED, "test", "-w", str(folder)) and _works(*DROPPED, "test", "-x", str(program))):
        raise FailedPrecondition(
            f"{program.name} refuses to run as root, this system forbids user namespaces, "
            f"and user {NOBODY} cannot reach {folder} or {program}: "
            "run SOMS as a plain user, or set SOMS_HOME to a folder that everyone may enter, or name your own server in SOMS_POSTGRES"
        )


def _works(*command: str) -> bool:
    """Whether `command`, made of our own constants and paths, ends well."""
    known = shutil.which(command[0]) is not None
    return known and subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0  # noqa: S603 as said above
