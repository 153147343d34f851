"""The jars of a lock file, from Maven Central or a mirror, in a cache of the user that all stacks and clones share.

A lock has one line per jar in class path order: SHA-256 and the path in a Maven repository. Knows no engine.
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from soms.errors import Unavailable

CACHE = Path(platformdirs.user_cache_dir("soms")) / "jars"
THREADS = 8
TRIES = 3
TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Jar:
    """One line of a lock: `path` is `group/as/path/artifact/version/file.jar`."""

    sum: str
    path: Path

    def sound(self, file: Path) -> bool:
        """Whether `file` is there and has the sum of the lock."""
        try:
            return hashlib.sha256(file.read_bytes()).hexdigest() == self.sum
        except FileNotFoundError:
            return False


def locked(lock: Path) -> Iterator[Jar]:
    """The jars of a lock file, in its order."""
    for line in lock.read_text().splitlines():
        checksum, path = line.split()
        yield Jar(checksum, Path(path))


def class_path(lock: Path, say: Callable[[str], None], *, cache: Path = CACHE, mirror: str | None = None) -> str:
    """The `-cp` of a lock, every jar checked against its sum and fetched where it is missing or broken; blocks.

    Raises Unavailable when a jar cannot be had or what comes has another sum.
    """
    jars = list(locked(lock))
    with ThreadPoolExecutor(THREADS) as threads:
        sound = threads.map(lambda jar: jar.sound(cache / jar.path), jars)
        missing = [jar for jar, fine in zip(jars, sound, strict=True) if not fine]
        if missing:
            say(f"fetching {len(missing)} jars, once for this user")
        list(threads.map(lambda jar: _fetch(jar, cache, mirror), missing))
    return os.pathsep.join(str(cache / jar.path) for jar in jars)


def _fetch(jar: Jar, cache: Path, mirror: str | None) -> None:
    """Put `jar` into `cache`; under another name until it is whole, because other stacks look at the same folder."""
    target = cache / jar.path
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as draft:
        file = _download(jar, Path(draft), mirror)
        if not jar.sound(file):
            raise Unavailable(f"{jar.path.name} came with another SHA-256 than its lock tells and was refused")
        file.replace(target)


def _download(jar: Jar, folder: Path, mirror: str | None) -> Path:
    from jgo.maven import MavenContext  # noqa: PLC0415 needed once in the life of a cache, slow to import

    *group, artifact, version, _ = jar.path.parts
    context = MavenContext(repo_cache=folder, remote_repos={"mirror": mirror} if mirror else None, timeout=TIMEOUT_SECONDS)
    wanted = context.project(".".join(group), artifact).at_version(version).artifact()
    for left in reversed(range(TRIES)):
        try:
            return Path(wanted.resolve())
        except (OSError, RuntimeError) as error:
            if not left:
                raise Unavailable(f"cannot fetch {jar.path.name}: {error} (SOMS_MAVEN names a mirror)") from error
            (folder / jar.path).unlink(missing_ok=True)
    raise AssertionError("no try left")
