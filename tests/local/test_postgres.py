"""PostgreSQL on this machine."""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from soms.errors import FailedPrecondition, Unavailable
from soms.local import postgres, privileges


async def ask(dsn: str, statement: str) -> object:
    """One value."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def listening(port: int) -> set[str]:
    """The local addresses, as /proc/net writes them, on which somebody listens at `port`."""
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    ends = [(row[1].split(":"), row[3]) for row in rows]
    return {address for (address, number), state in ends if int(number, 16) == port and state == "0A"}


async def test_it_wants_the_password_on_loopback_and_keeps_what_it_is_told(tmp_path: Path) -> None:
    """Login by scram alone, no address but 127.0.0.1, full durability; the data outlive kill -9.

    Its pid file then names a process that lives, as after a restart of the machine, and is not believed.
    """
    async with postgres.running(tmp_path) as server:
        await ask(server.dsn, "create table kept as select 42 as answer")
        assert await ask(server.dsn, "select setting from pg_settings where name = 'password_encryption'") == "scram-sha-256"
        durable = "select bool_and(setting = 'on') from pg_settings where name in ('fsync', 'synchronous_commit', 'full_page_writes')"
        assert await ask(server.dsn, durable)
        assert listening(server.port) == {"0100007F"}
        with pytest.raises(asyncpg.InvalidPasswordError):
            await ask(server.dsn.replace(server.password, "wrong"), "select 1")
        assert server.child
        os.kill(server.child.process.pid, signal.SIGKILL)
        await server.child.wait()
    pid_file = tmp_path / "postgres" / "postmaster.pid"
    pid_file.write_text(pid_file.read_text().replace(str(server.child.process.pid), str(os.getppid()), 1))
    async with postgres.running(tmp_path) as server:
        assert await ask(server.dsn, "select answer from kept") == 42


async def test_a_start_that_fails_tells_why(tmp_path: Path) -> None:
    """The end of the log is in the error; half a folder does not disturb the next start."""
    (tmp_path / "postgres.draft" / "data").mkdir(parents=True)
    with pytest.raises(Unavailable, match=r"(?s)postgres ended with code 1.*shared_buffers"):
        async with postgres.running(tmp_path, shared_buffers="nonsense"):
            pass
    async with postgres.running(tmp_path) as server:
        server.port = 1
        server.ready_seconds = 0.2
        with pytest.raises(Unavailable, match=r"did not answer in"):
            await server._ready(server.child)


async def test_a_taken_port_is_told(tmp_path: Path) -> None:
    """The program that has it is none of ours."""
    async with postgres.running(tmp_path) as server:
        await server.stop()
        with (
            socket.create_server(("127.0.0.1", server.port)),
            pytest.raises(FailedPrecondition, match=f"port {server.port} of postgres is taken"),
        ):
            await server.start()


def owner(process_id: int) -> int:
    """The user it runs as."""
    return Path(f"/proc/{process_id}").stat().st_uid


@pytest.fixture
def dropping(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A system that forbids user namespaces, and a folder that everyone may enter."""
    if os.geteuid():
        pytest.skip("only root drops privileges")
    monkeypatch.setattr(privileges, "prefix", lambda: privileges.DROPPED)
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


async def test_root_drops_its_privileges_where_namespaces_are_forbidden(dropping: Path) -> None:
    """The server runs as nobody, on a folder that is nobody's."""
    async with postgres.running(dropping) as server:
        assert await ask(server.dsn, "select 1") == 1
        assert server.child
        assert owner(server.child.process.pid) == privileges.NOBODY


async def test_root_is_told_where_neither_way_works(dropping: Path, tmp_path: Path) -> None:
    """A folder in root's own is out of reach for nobody."""
    with pytest.raises(FailedPrecondition, match=r"refuses to run as root.*SOMS_HOME"):
        async with postgres.running(tmp_path):
            pass
