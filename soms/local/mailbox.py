"""The mailbox: a mail server on loopback that delivers to nobody and shows what it got. Knows nothing of notifications."""

import asyncio
import sys
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from soms.local.engine import Engine
from soms.local.http import status

PROBE_SECONDS = 5


class Mailbox(Engine):
    """`soms.local.mailbox_server` in a process of its own, mails as files in `home/mailbox`."""

    name = "mailbox"

    def __init__(self, home: Path, smtp_port: int, http_port: int) -> None:
        """Take mail on `smtp_port` and show it on `http_port`."""
        super().__init__(home)
        self.smtp_port = smtp_port
        self.http_port = http_port

    @property
    def ports(self) -> tuple[int, ...]:
        """Where it is read, where it takes mail."""
        return (self.http_port, self.smtp_port)

    @property
    def address(self) -> str:
        """The page."""
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def record(self) -> Mapping[str, Any]:
        """The mail server's address and the page for people."""
        return {"smtp": f"127.0.0.1:{self.smtp_port}", "url": f"http://127.0.0.1:{self.http_port}"}

    async def prepare(self) -> None:
        """A folder for the mails."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        """Our own server."""
        return [sys.executable, "-m", "soms.local.mailbox_server", str(self.folder), str(self.smtp_port), str(self.http_port)]

    def environment(self) -> dict[str, str]:
        """It is Python and must find this very code."""
        return {**super().environment(), "PYTHONPATH": str(Path(__file__).parents[2])}

    async def probe(self) -> None:
        """Read the list; the page is served only after the mail server listens."""
        if (code := await asyncio.to_thread(status, f"http://127.0.0.1:{self.http_port}/messages", PROBE_SECONDS)) != HTTPStatus.OK:
            raise ConnectionError(f"status {code}")
