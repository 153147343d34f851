"""Netflix Eureka on loopback, out of published jars alone. Knows nothing of who registers there."""

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from soms.local.http import status
from soms.local.java import JavaEngine

PROPERTIES = Path(__file__).with_name("eureka.properties")
PROBE_SECONDS = 5


class Eureka(JavaEngine):
    """One registry; what it knows lives in memory, services register again after a restart."""

    name = "eureka"
    heap = "128m"

    def __init__(self, home: Path, port: int, mirror: str | None = None) -> None:
        """Serve on `port`."""
        super().__init__(home, mirror)
        self.port = port

    @property
    def ports(self) -> tuple[int, ...]:
        """The only port."""
        return (self.port,)

    @property
    def address(self) -> str:
        """The dashboard."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def record(self) -> Mapping[str, Any]:
        """The base of the REST interface; the dashboard is at the root of the same port."""
        return {"url": f"http://127.0.0.1:{self.port}/eureka"}

    async def prepare(self) -> None:
        """Fetch the jars; Tomcat wants a folder to work in."""
        await super().prepare()
        self.folder.mkdir(exist_ok=True)

    def command(self) -> list[str]:
        """Spring Boot's own main, which starts the configuration classes that the properties name."""
        return self.java(
            "org.springframework.boot.SpringApplication",
            f"--spring.config.location=file:{PROPERTIES}",
            f"--server.port={self.port}",
            f"--server.tomcat.basedir={self.folder}",
        )

    async def probe(self) -> None:
        """Read the registry."""
        if (code := await asyncio.to_thread(status, f"http://127.0.0.1:{self.port}/eureka/apps", PROBE_SECONDS)) != HTTPStatus.OK:
            raise ConnectionError(f"status {code}")
