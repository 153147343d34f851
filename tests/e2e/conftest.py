"""The whole of SOMS, started once for all tests here the way a person starts it, and REST clients for it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import asyncpg
import pytest

from soms.cli.services import found
from soms.cli.token import issued
from soms.config import Settings
from soms.local import ports, procfile
from soms.local.child import Child, stragglers

ROOT = Path(__file__).parents[2]
READY_SECONDS = 120
GRACE_SECONDS = 60
# a word of its command by which a process is known, where it is not `soms.rpc.<name>`
KNOWN_BY = {
    "web": "soms.web",
    "relay": "soms.agents.relay",
    "inventory": "soms.agents.inventory",
    "analytics": "soms.agents.analytics",
    "postgres": "postgres",
    "kafka": "kafka.Kafka",
    "eureka": "org.springframework.boot.SpringApplication",
}


FREEDOMS = {"SOMS_RATE_LIMIT": "off", "SOMS_WEBHOOK_PRIVATE": "true"}


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Client:
    """One person with an access token, or nobody."""

    def __init__(self, session: aiohttp.ClientSession, token: str) -> None:
        """`session` has the gateway as its base address."""
        self.session = session
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Send `body` as JSON; headers as `Idempotency_Key="a"`; a path without a leading slash is below /api/v1."""
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        path = path if path.startswith("/") else f"/api/v1/{path}"
        async with self.session.request(method, path, json=body, headers=sent) as answer:
            endless = answer.content_type == "text/event-stream"
            text = (await answer.content.readany()).decode() if endless else await answer.text()
            return Answer(answer.status, json.loads(text) if answer.content_type.endswith(("/json", "+json")) else text, answer.headers)


class Stack:
    """Everything, up, in a state folder of its own. Sees processes by the names of the Procfile, such as `product`."""

    def __init__(self, home: Path, port: int) -> None:
        """Nothing runs yet."""
        self.home, self.output = home, home.with_suffix(".output")
        self.url = f"http://127.0.0.1:{port}"
        self.environment = os.environ | {
            "SOMS_HOME": str(home),
            "SOMS_WEB_PORT": str(port),
            "SOMS_RATE_LIMIT": "off",
            "SOMS_WEBHOOK_PRIVATE": "true",
        }
        self.session: aiohttp.ClientSession
        self.issue: Callable[[str, str], Awaitable[str]]

    def engine(self, name: str) -> dict[str, Any]:
        """What `engines.json` says of an engine."""
        return dict(json.loads((self.home / "engines.json").read_text())[name])

    async def rows(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """What a statement gives, as the owner of all schemas."""
        connection = await asyncpg.connect(**self.engine("postgres"), timeout=5)
        try:
            return list(await connection.fetch(statement, *values, timeout=10))
        finally:
            await connection.close()

    async def client(self, email: str = "", role: str = "customer", token: str = "") -> Client:
        """A client in the name of `email`, whose account is made where missing, or with a token; nobody's without."""
        return Client(self.session, await self.issue(email, role) if email else token)

    async def up(self, name: str) -> int:
        """How many instances of a process the registry has UP."""
        service = "GATEWAY" if name == "web" else f"{name.upper()}-SERVICE"
        async with self.session.get(f"{self.engine('eureka')['url']}/apps/{service}", headers={"Accept": "application/json"}) as answer:
            found = (await answer.json())["application"]["instance"] if answer.status == 200 else []
            return sum(one["status"] == "UP" for one in found)

    def running(self, name: str) -> list[int]:
        """The ids of the processes that run a line of the Procfile or an engine (`postgres`, `kafka`, `eureka`)."""
        commands = {one: Path(f"/proc/{one}/cmdline").read_text().split("\0") for one in stragglers(self.home)}
        word = KNOWN_BY.get(name, f"soms.rpc.{name}")
        return sorted(one for one, command in commands.items() if word in (*command, Path(command[0]).name))

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> list[int]:
        """Send a signal to every process called `name`; their ids."""
        for one in (killed := self.running(name)):
            os.kill(one, number)
        return killed

    @contextlib.asynccontextmanager
    async def another(self, name: str) -> AsyncIterator[Child]:
        """One more instance of a line of the Procfile, started by hand; asked to end at the end, unless it has ended before."""
        process = next(one for one in procfile.processes((ROOT / "Procfile").read_text(), {}) if one.name == name)
        started = await self.start(process.shell(), procfile.environment(self.environment))
        try:
            yield started
        finally:
            await started.stop(GRACE_SECONDS)

    async def start(self, command: Sequence[str], environment: Mapping[str, str]) -> Child:
        """A program whose output goes where that of all the others goes; it ends with the tests, however they end."""
        with self.output.open("ab") as output:
            return await Child.spawn(command, environment, output)

    async def until(self, condition: Callable[[], Any], seconds: float = 45) -> Any:
        """The first true answer of `condition`, which may be a coroutine function; OSError counts as no."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, aiohttp.ClientError):
                answer = condition()
                if answer := (await answer if isinstance(answer, Awaitable) else answer):
                    return answer
            await asyncio.sleep(0.05)
        raise AssertionError(f"not within {seconds} s; the end of the output:\n{self.output.read_text()[-3000:]}")


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """`soms up`, ready; stopped by SIGTERM at the end, after which nothing of it may be left."""
    stack = Stack(tmp_path_factory.mktemp("stack") / "var", *ports.choose(1))
    up = await stack.start((sys.executable, "-m", "soms", "up"), stack.environment)
    try:
        await stack.until(lambda: up.ended or "\nSOMS is ready" in stack.output.read_text(), READY_SECONDS)
        assert not up.ended, stack.output.read_text()
        async with (
            found(Settings(home=stack.home), "USER-SERVICE", timeout_seconds=5) as services,
            aiohttp.ClientSession(stack.url) as session,
        ):
            stack.session, stack.issue = session, lambda email, role: issued(services, email, role)
            yield stack
    finally:
        await up.stop(GRACE_SECONDS)
    assert (await up.wait(), list(stragglers(stack.home))) == (0, [])
