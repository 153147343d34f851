"""Apache Kafka on loopback: one node that is broker and controller. Knows nothing of topics.

Its jars, `kafka.lock`: the class path that `jgo info classpath` tells for org.apache.kafka:kafka_2.13, and log4j-slf4j-impl,
without which it logs nothing.
"""

import asyncio
import base64
import json
import shutil
import struct
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from soms.local.java import JavaEngine

PROPERTIES = Path(__file__).with_name("kafka.properties")
LOGGING = Path(__file__).with_name("kafka-log4j2.properties")
FORMAT_SECONDS = 60
PROBE_SECONDS = 5
# ApiVersions request, version 0, of client `soms`: length, key, version, correlation id, client id (Kafka protocol guide)
API_VERSIONS = struct.pack(">ihhih4s", 14, 18, 0, 1, 4, b"soms")


class Kafka(JavaEngine):
    """One node, data in `home/kafka`. Its ports must never change: the metadata log knows them."""

    name = "kafka"
    heap = "384m"

    def __init__(self, home: Path, port: int, controller_port: int, mirror: str | None = None) -> None:
        """Serve clients on `port`; the controller listens on `controller_port`."""
        super().__init__(home, mirror)
        self.port = port
        self.controller_port = controller_port

    @property
    def ports(self) -> tuple[int, ...]:
        """The clients' port and the controller's."""
        return (self.port, self.controller_port)

    @property
    def address(self) -> str:
        """Where to bootstrap from."""
        return f"127.0.0.1:{self.port}"

    @property
    def record(self) -> Mapping[str, Any]:
        """The address to bootstrap from."""
        return {"bootstrap": f"127.0.0.1:{self.port}"}

    def options(self) -> list[str]:
        """The logging configuration."""
        return [f"-Dlog4j2.configurationFile={LOGGING}"]

    def command(self) -> list[str]:
        """The server in the foreground."""
        return self.java("kafka.Kafka", str(self.folder / "server.properties"))

    async def prepare(self) -> None:
        """Fetch the jars, format the data folder at first start, write the properties of this start."""
        await super().prepare()
        if not self.folder.exists():
            self.say("formatting its data folder")
            draft = self.home / "kafka.draft"
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            await self._format(draft)
            draft.rename(self.folder)
        self._write_properties(self.folder)

    def _write_properties(self, folder: Path) -> Path:
        broker, controller = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.controller_port}"
        own = (
            f"listeners=PLAINTEXT://{broker},CONTROLLER://{controller}",
            f"advertised.listeners=PLAINTEXT://{broker}",
            f"controller.quorum.bootstrap.servers={controller}",
            # a file of Java properties is not UTF-8, but knows the escapes of JSON
            f"log.dirs={json.dumps(str(folder / 'data'))[1:-1]}",
        )
        file = folder / "server.properties"
        file.write_text("\n".join((PROPERTIES.read_text(), *own, "")))
        return file

    async def _format(self, folder: Path) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # in one word: an id may begin with a dash
        tool = ("kafka.tools.StorageTool", "format", "--standalone", f"--cluster-id={cluster}", "-c", str(self._write_properties(folder)))
        await self._run(self.java(*tool), FORMAT_SECONDS)

    async def probe(self) -> None:
        """Ask for the versions of its protocol, which a broker answers only when it serves clients."""
        async with asyncio.timeout(PROBE_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(API_VERSIONS)
                size, correlation, error = struct.unpack(">iih", await reader.readexactly(10))
            except EOFError as error:
                raise ConnectionError("closed without an answer") from error
            finally:
                writer.close()
        if (correlation, error) != (1, 0) or size <= 0:
            raise ConnectionError("answered something else than Kafka")
