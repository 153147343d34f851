"""Ports of engines."""

import contextlib
import socket
from pathlib import Path

from soms.local import ports


def test_ports_are_kept(tmp_path: Path) -> None:
    """A second start gets the ports of the first, whatever was added meanwhile."""
    file = tmp_path / "ports.json"
    first = ports.kept(file, "one", "two")
    assert ports.kept(file, "two", "three")["two"] == first["two"]
    assert len(set(ports.kept(file, "one", "two", "three").values())) == 3


def test_chosen_ports_are_free_and_out_of_the_way() -> None:
    """No chosen port is taken, none lies where the system puts outgoing connections."""
    lowest_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    chosen = ports.choose(20)
    assert len(set(chosen)) == 20
    assert all(port < lowest_outgoing and ports.free("127.0.0.1", port) for port in chosen)


def test_a_listening_port_is_not_free() -> None:
    """Only what a server could listen on is free."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        assert not ports.free("127.0.0.1", server.getsockname()[1])
