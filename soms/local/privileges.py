"""Running a program that refuses to run as root or as a user without a name, touching no permission but its own folder's."""

import functools
import os
import pwd
import shutil
import subprocess
from pathlib import Path

from soms.errors import FailedPrecondition

NOBODY = 65534
# A user namespace in which the user is called nobody: data and binaries may lie anywhere, no file changes its owner.
NAMESPACE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
DROPPED = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")
REMEDY = "run SOMS as a plain user, or set SOMS_HOME to a folder that everyone may enter, or name your own server in SOMS_POSTGRES"


@functools.cache
def prefix() -> tuple[str, ...]:
    """What to put before a command so that it runs as a user with a name who is not root; nothing where it does anyway."""
    if os.geteuid() and _named(os.geteuid()):
        return ()
    return NAMESPACE if _works(*NAMESPACE, "true") else DROPPED


def hand_over(folder: Path, program: Path) -> None:
    """Make `folder` usable for `program` under `prefix()`.

    Raises FailedPrecondition where namespaces are forbidden and nobody can reach the folder or the program.
    """
    if prefix() != DROPPED:
        return
    for path in (folder, *folder.rglob("*")) if not os.geteuid() else ():
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    if not (_works(*DROPPED, "test", "-w", str(folder)) and _works(*DROPPED, "test", "-x", str(program))):
        raise FailedPrecondition(
            f"{program.name} refuses to run as root or as a user without a name, this system forbids user namespaces, "
            f"and user {NOBODY} cannot reach {folder} or {program}: {REMEDY}"
        )


def _named(user: int) -> bool:
    try:
        return bool(pwd.getpwuid(user).pw_name)
    except KeyError:
        return False


def _works(*command: str) -> bool:
    """Whether `command`, made of our own constants and paths, ends well."""
    known = shutil.which(command[0]) is not None
    return known and subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0  # noqa: S603 as said above
