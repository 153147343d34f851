"""Locked jars, from a mirror on this machine."""

import functools
import gc
import hashlib
import http.server
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from soms.errors import Unavailable
from soms.local import jars

# jgo leaves closing its connections to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
PATHS = [f"org/example/thing-{n}/1.0/thing-{n}-1.0.jar" for n in range(20)]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Says nothing, counts what is asked for."""

    asked: list[str]

    def log_message(self, *args: object) -> None:
        """Remember the path."""
        self.asked.append(self.path)


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """A Maven repository with twenty jars, whose lock lies beside it."""
    Quiet.asked = []
    lock = []
    for path in PATHS:
        file = tmp_path / "repository" / path
        file.parent.mkdir(parents=True)
        file.write_bytes(path.encode() * 1000)
        lock.append(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {path}")
    (tmp_path / "example.lock").write_text("\n".join(lock))
    handler = functools.partial(Quiet, directory=tmp_path / "repository")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
    gc.collect()


def class_path(folder: Path, mirror: str) -> list[Path]:
    """The class path of the lock as files."""
    text = jars.Cache(mirror, folder / "cache").class_path(folder / "example.lock", print)
    return [Path(path) for path in text.split(":")]


def test_jars_are_fetched_once_in_the_order_of_the_lock(tmp_path: Path, mirror: str) -> None:
    """The second time nothing is asked for."""
    first = class_path(tmp_path, mirror)
    assert [str(file.relative_to(tmp_path / "cache")) for file in first] == PATHS
    Quiet.asked.clear()
    assert class_path(tmp_path, mirror) == first
    assert Quiet.asked == []


def test_a_broken_jar_in_the_cache_is_fetched_anew(tmp_path: Path, mirror: str) -> None:
    """One flipped byte is noticed."""
    broken = class_path(tmp_path, mirror)[7]
    sound = broken.read_bytes()
    broken.write_bytes(b"X" + sound[1:])
    class_path(tmp_path, mirror)
    assert broken.read_bytes() == sound


def test_a_jar_with_another_sum_is_refused(tmp_path: Path, mirror: str) -> None:
    """Nothing of it stays in the cache."""
    (tmp_path / "repository" / PATHS[3]).write_bytes(b"something else")
    with pytest.raises(Unavailable, match=r"thing-3-1.0.jar .* refused"):
        class_path(tmp_path, mirror)
    assert not (tmp_path / "cache" / PATHS[3]).exists()


def test_a_missing_jar_is_told_by_name(tmp_path: Path, mirror: str) -> None:
    """With the setting that may help."""
    (tmp_path / "repository" / PATHS[5]).unlink()
    with pytest.raises(Unavailable, match=r"thing-5-1.0.jar.*SOMS_MAVEN"):
        class_path(tmp_path, mirror)


def test_two_stacks_may_fetch_at_once(tmp_path: Path, mirror: str) -> None:
    """Neither sees half a jar, no scrap is left."""
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(lambda _: class_path(tmp_path, mirror), range(2))
    assert one == other
    assert all(jar.sound(tmp_path / "cache" / jar.path) for jar in jars.locked(tmp_path / "example.lock"))
    assert not list((tmp_path / "cache").glob(".fetch-*"))


def test_fetching_can_be_given_up(tmp_path: Path, mirror: str) -> None:
    """Nothing more is asked for."""
    cache = jars.Cache(mirror, tmp_path / "cache")
    cache.closed.set()
    with pytest.raises(Unavailable, match="given up"):
        cache.class_path(tmp_path / "example.lock", print)
    assert Quiet.asked == []


@pytest.mark.parametrize(("name", "count"), [("kafka", 46), ("eureka", 102)])
def test_our_locks_name_jars_alone(name: str, count: int) -> None:
    """Each line is a sum and a path in a repository, no address."""
    lock = list(jars.locked(Path(jars.__file__).with_name(f"{name}.lock")))
    assert len(lock) == len(set(lock)) == count
    assert all(len(jar.sum) == 64 and jar.path.name == f"{jar.path.parts[-3]}-{jar.path.parts[-2]}.jar" for jar in lock)
