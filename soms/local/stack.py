"""The engines of one state folder: which run here, on which ports, and the record that tells everybody else."""

import contextlib
import fcntl
import functools
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path

from soms.config import Settings
from soms.errors import FailedPrecondition
from soms.local import ports
from soms.local.engine import Engine
from soms.local.eureka import Eureka
from soms.local.kafka import Kafka
from soms.local.keeper import Keeper
from soms.local.mailbox import Mailbox
from soms.local.postgres import Postgres

PORTS = ("postgres", "kafka", "kafka_controller", "eureka", "mailbox", "mailbox_smtp")


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Hold the state folder; raises FailedPrecondition where another supervisor does. The lock dies with its process."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read() or "unknown"
            raise FailedPrecondition(
                f"SOMS runs already on {home.resolve()} (process {holder}): end it first, or set SOMS_HOME to another folder"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def local_engines(settings: Settings) -> list[Engine]:
    """The engines that `settings` do not name elsewhere, in order of start."""
    home, mirror = settings.home, settings.maven
    port = ports.kept(home / "ports.json", *PORTS)
    engines: dict[str, Callable[[], Engine]] = {
        "postgres": lambda: Postgres(home, port["postgres"], settings.secret("postgres")),
        "kafka": lambda: Kafka(home, port["kafka"], port["kafka_controller"], mirror),
        "eureka": lambda: Eureka(home, port["eureka"], mirror),
        "smtp": lambda: Mailbox(home, port["mailbox_smtp"], port["mailbox"]),
    }
    return [make() for setting, make in engines.items() if not getattr(settings, setting)]


def own_settings() -> Settings:
    """What arguments and environment say; the record of an earlier start is taken away, so that its engines count as ours again."""
    Settings().engines_file.unlink(missing_ok=True)
    return Settings()


def write_record(settings: Settings, engines: Sequence[Engine]) -> None:
    """Write `engines.json`, readable by its owner alone, whole or not at all."""
    record = {engine.name: engine.record for engine in engines} | {"web": {"url": web_url(settings)}}
    draft = settings.engines_file.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(record, indent=1))
    draft.replace(settings.engines_file)


def web_url(settings: Settings) -> str:
    """Where this machine reaches the gateway."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.web_host, settings.web_host)
    return f"http://{host}:{settings.web_port}"


@contextlib.asynccontextmanager
async def running(engines: Sequence[Engine], say: Callable[[str, str], None]) -> AsyncIterator[Mapping[str, Keeper]]:
    """Start all side by side and keep them running; each keeper tells when its engine is ready. Ends them in reverse order."""
    keepers: dict[str, Keeper] = {}
    for engine in engines:
        engine.say = functools.partial(say, engine.name)
        keepers[engine.name] = Keeper(engine.start, engine.say, engine.stop_seconds)
    try:
        yield keepers
    finally:
        for name, keeper in reversed(keepers.items()):
            await keeper.stop()
            say(name, "stopped")
