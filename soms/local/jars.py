"""The jars of a lock file, from Maven Central or a mirror, in a cache of the user that all stacks and clones share.

A lock has one line per jar in class path order: SHA-256 and the path in a Maven repository. Knows no engine.
`python -m soms.local.jars LOCK FOLDER` puts them all into FOLDER, for an image; `java @FOLDER/class-path` has them then.
"""

import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from soms.config import settings
from soms.errors import Unavailable

THREADS = 8
TRIES = 3
TIMEOUT_SECONDS = 30


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


@dataclass(frozen=True)
class Cache:
    """A folder of jars and where they come from: `mirror`, an address, else Maven Central."""

    mirror: str | None = None
    folder: Path = field(default_factory=lambda: Path(platformdirs.user_cache_dir("soms")) / "jars")
    closed: threading.Event = field(default_factory=threading.Event)

    def class_path(self, lock: Path, say: Callable[[str], None]) -> str:
        """The class path of a lock, every jar checked against its sum and fetched where it is missing or broken.

        Blocks; no further jar is begun once `closed` is set. Raises Unavailable when a jar cannot be had or has another sum.
        """
        jars = list(locked(lock))
        with ThreadPoolExecutor(THREADS) as threads:
            sound = threads.map(lambda jar: jar.sound(self.folder / jar.path), jars)
            missing = [jar for jar, fine in zip(jars, sound, strict=True) if not fine]
            if missing:
                say(f"fetching {len(missing)} jars, once for this user")
            list(threads.map(self._fetch, missing))
        return os.pathsep.join(str(self.folder / jar.path) for jar in jars)

    def _fetch(self, jar: Jar) -> None:
        """Put `jar` into the folder; under another name until it is whole, because other stacks look at the same folder."""
        if self.closed.is_set():
            raise Unavailable("fetching was given up")
        target = self.folder / jar.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".fetch-") as draft:
            file = self._download(jar, Path(draft))
            if not jar.sound(file):
                raise Unavailable(f"{jar.path.name} came with another SHA-256 than its lock tells and was refused")
            file.replace(target)

    def _download(self, jar: Jar, folder: Path) -> Path:
        from jgo.maven import MavenContext  # noqa: PLC0415 needed once in the life of a cache, slow to import

        *group, artifact, version, _ = jar.path.parts
        repositories = {"mirror": self.mirror} if self.mirror else None
        context = MavenContext(repo_cache=folder, remote_repos=repositories, timeout=TIMEOUT_SECONDS)
        wanted = context.project(".".join(group), artifact).at_version(version).artifact()
        refusal: Exception | None = None
        for _ in range(TRIES):
            try:
                return Path(wanted.resolve())
            except (OSError, RuntimeError) as error:
                refusal = error
                (folder / jar.path).unlink(missing_ok=True)
        raise Unavailable(f"cannot fetch {jar.path.name}: {refusal} (SOMS_MAVEN names a mirror)")


def main() -> None:
    """Fill the folder."""
    lock, folder = map(Path, sys.argv[1:])
    path = Cache(settings().maven, folder.resolve()).class_path(lock, print)
    (folder / "class-path").write_text(f'-cp "{path}"\n')


if __name__ == "__main__":
    main()
