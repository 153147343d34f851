"""Eureka: `registered(...)` puts this process into the registry, `discovering(...)` finds the others.

Everything goes on without the registry: registering is retried, the last good list of instances holds. Knows neither gRPC
nor what the services do. Of py_eureka_client only the coroutines of `eureka_basic` are used, under loops of our own.
"""

import asyncio
import contextlib
import logging
import socket
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from typing import Any, Final

import aiohttp
from py_eureka_client import eureka_basic
from py_eureka_client.http_client import HttpClient, HttpRequest, HttpResponse, set_http_client

from soms.config import Settings
from soms.errors import FailedPrecondition, NotFound, Unavailable
from soms.pulse import Pulse

RENEW_SECONDS: Final = 3.0
LEASE_SECONDS: Final = 10
FETCH_SECONDS: Final = 2.0
FETCH_GAP_SECONDS: Final = 0.2
REQUEST_SECONDS: Final = 3.0
ANNOUNCE_SECONDS: Final = 3.0
LEAVE_SECONDS: Final = 5.0
KEEP_SECONDS: Final = 60.0

log = logging.getLogger(__name__)
_session: ContextVar[aiohttp.ClientSession] = ContextVar("eureka_session")
Ask = Callable[..., Awaitable[Any]]
Instances = dict[str, tuple["Instance", ...]]


@dataclass(frozen=True, slots=True)
class Instance:
    """One running process of a service; `port` is the gRPC port where it has one, else the HTTP port."""

    id: str
    host: str
    port: int


class Registration:
    """The lease of this process: STARTING, then UP, then OUT_OF_SERVICE, then gone."""

    def __init__(self, ask: Ask, settings: Settings, name: str, port: int, metadata: dict[str, str]) -> None:
        host = settings.host if settings.host not in ("0.0.0.0", "::") else socket.gethostbyname(socket.gethostname())
        self._ask, self._known = ask, asyncio.Event()
        self._instance = eureka_basic.Instance(
            instanceId=f"{host}:{name}:{port}",
            app=name,
            hostName=host,
            ipAddr=host,
            port=eureka_basic.PortWrapper(port, enabled=True),
            vipAddress=name.lower(),
            leaseInfo=eureka_basic.LeaseInfo(renewalIntervalInSecs=int(RENEW_SECONDS), durationInSecs=LEASE_SECONDS),
            metadata=metadata,
        )
        self._key = (name, self._instance.instanceId)
        self._mark("STARTING")
        self.pulse = Pulse(f"registering {name}", self.run_once, RENEW_SECONDS, finish=self._leave)

    async def up(self) -> bool:
        """Take part from now on; waits up to 3 s and tells whether the registry knows, which otherwise learns it when it is back."""
        return await self._become("UP")

    async def out_of_service(self) -> bool:
        """Get no new callers from now on; waits and tells as `up` does."""
        return await self._become("OUT_OF_SERVICE")

    async def _become(self, status: str) -> bool:
        self._mark(status)
        self.pulse.soon()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ANNOUNCE_SECONDS):
                await self._known.wait()
        return self._known.is_set()

    def _mark(self, status: str) -> None:
        self._instance.status = status
        self._instance.lastDirtyTimestamp = max(time.time_ns() // 1_000_000, self._instance.lastDirtyTimestamp + 1)
        self._known.clear()

    async def run_once(self) -> None:
        """Renew the lease; say who we are where the registry does not know or has forgotten."""
        if self._known.is_set():
            try:
                await self._ask(eureka_basic.send_heartbeat, *self._key, self._instance.lastDirtyTimestamp, self._instance.status)
            except NotFound:
                log.info("the registry has forgotten %s, registering again as %s", self._key[1], self._instance.status)
                self._known.clear()
        if not self._known.is_set():
            await self._announce()

    async def _leave(self) -> None:
        with contextlib.suppress(NotFound):
            await self._ask(eureka_basic.cancel, *self._key)

    async def _announce(self) -> None:
        """Register with the current status.

        A status that was put over a lease outlives registrations, and so does UP itself: leaving service takes such an
        override, coming up first removes one that a drain or an earlier life under the same id left behind.
        """
        dirty, status = self._instance.lastDirtyTimestamp, self._instance.status
        if status == "UP":
            with contextlib.suppress(NotFound):
                await self._ask(eureka_basic.delete_status_override, *self._key, dirty)
        await self._ask(eureka_basic.register, self._instance)
        if status == "OUT_OF_SERVICE":
            await self._ask(eureka_basic.status_update, *self._key, dirty, status)
        if dirty == self._instance.lastDirtyTimestamp:
            self._known.set()


class Directory:
    """The instances that are UP, from the last good answer of the registry.

    While the registry is away, the last list holds without limit. For 60 s after it is back, or has turned up empty, an instance that it
    does not list at all is kept, for it may not have registered again yet; one listed as anything but UP goes at once, always.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._instances: Instances = {}
        self._callbacks: list[Callable[[], None]] = []
        self._listed = False
        self._keep_until = 0.0
        self.pulse = Pulse("discovery", self.run_once, FETCH_SECONDS, gap_seconds=FETCH_GAP_SECONDS)

    def instances(self, name: str) -> tuple[Instance, ...]:
        """The instances of service `name` (upper case, as `ORDER-SERVICE`) by id; never waits."""
        return self._instances.get(name, ())

    async def wait_for(self, name: str, timeout_seconds: float) -> tuple[Instance, ...]:
        """The instances of `name` as soon as there is one; raises Unavailable after `timeout_seconds`."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while not (found := self.instances(name)):
                    self.refresh_soon()
                    await asyncio.sleep(FETCH_GAP_SECONDS)
        except TimeoutError:
            raise Unavailable(f"no {name} is up after {timeout_seconds:g} s") from None
        return found

    def subscribe(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have `callback` called after each change; calling what is returned ends that."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    def refresh_soon(self) -> None:
        """Ask the registry now, at most every 0.2 s: somebody could not be reached or is not known."""
        self.pulse.soon()

    async def run_once(self) -> None:
        """Fetch the whole registry and put what changed in place."""
        answer = await self._ask(eureka_basic.get_applications)
        listed = {service.name: {found.instanceId: _usable(found) for found in service.instances} for service in answer.applications}
        if self.pulse.failures or (self._listed and not listed):
            self._keep_until = time.monotonic() + KEEP_SECONDS
        self._listed = bool(listed)
        if (fresh := self._merged(listed)) != self._instances:
            self._instances = fresh
            for callback in self._callbacks:
                asyncio.get_running_loop().call_soon(callback)

    def _merged(self, listed: dict[str, dict[str, Instance | None]]) -> Instances:
        merged = {name: [instance for instance in instances.values() if instance] for name, instances in listed.items()}
        if time.monotonic() < self._keep_until:
            for name, instances in self._instances.items():
                merged.setdefault(name, []).extend(old for old in instances if old.id not in listed.get(name, {}))
        return {name: tuple(sorted(instances, key=lambda one: one.id)) for name, instances in merged.items() if instances}


class SharedSession(HttpClient):  # type: ignore[misc] # the package has no types
    """Lets py_eureka_client use the session of the loop that calls it; its own client opens a new one for each request."""

    async def urlopen(self, request: Any = None, data: bytes | None = None, timeout: float | None = None) -> HttpResponse:  # noqa: ASYNC109
        """Send `request`; raises NotFound for 404, aiohttp's errors otherwise. The session has its own timeout."""
        asked = request if isinstance(request, HttpRequest) else HttpRequest(request)
        async with _session.get().request(asked.method, asked.url, headers=asked.headers, data=data) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                raise NotFound(asked.url)
            response.raise_for_status()
            answer = HttpResponse()
            answer.body_text = await response.text()
            return answer


set_http_client(SharedSession())


@contextlib.asynccontextmanager
async def registered(
    settings: Settings, name: str, port: int, *, grpc: bool = True, metadata: Mapping[str, str] | None = None
) -> AsyncIterator[Registration]:
    """Hold a lease for `name` (as `ORDER-SERVICE`) at `port`, STARTING at first; leaving cancels it within 5 s.

    Keys of `metadata` become XML names: letters, digits, `_`, `-` and `.` only.
    """
    extra = {"version": version("soms"), **({"gRPC_port": str(port)} if grpc else {}), **(metadata or {})}
    async with _registry(settings) as ask:
        registration = Registration(ask, settings, name, port, extra)
        # a request under way is waited for: one that is cut off could register us after the lease is cancelled
        async with registration.pulse.running(LEAVE_SECONDS):
            yield registration


@contextlib.asynccontextmanager
async def discovering(settings: Settings) -> AsyncIterator[Directory]:
    """A directory that is kept up to date; one per process."""
    async with _registry(settings) as ask:
        directory = Directory(ask)
        async with directory.pulse.running():
            yield directory


@contextlib.asynccontextmanager
async def _registry(settings: Settings) -> AsyncIterator[Ask]:
    """A function that has an operation of `eureka_basic` done, over one session and by one server until that fails, then the next."""
    if not settings.eureka:
        raise FailedPrecondition("no Eureka server is known: start one with `soms engines` or name it in SOMS_EUREKA")
    servers = deque(server.strip() for server in settings.eureka.split(","))

    async def ask(operation: Ask, *arguments: object) -> Any:
        _session.set(session)
        try:
            return await operation(servers[0], *arguments)
        except (OSError, aiohttp.ClientError):
            servers.rotate(-1)
            raise

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS), trust_env=False) as session:
        yield ask


def _usable(found: eureka_basic.Instance) -> Instance | None:
    """The instance, or None for one that is not UP or has no address."""
    port = str(found.metadata.get("gRPC_port", found.port.port))
    usable = found.status == "UP" and found.hostName and port.isdecimal()
    return Instance(found.instanceId, found.hostName, int(port)) if usable else None
