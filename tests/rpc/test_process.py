"""Whole processes with the real registry: they come, are killed and are told to leave, and callers hardly notice."""

import asyncio
import contextlib
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from soms import errors
from soms.config import Settings
from soms.discovery import Directory, discovering
from soms.local import ports
from soms.local.eureka import Eureka
from soms.rpc.client import Services, connected
from soms.rpc.gen.soms import v1

ORDER = "ORDER-SERVICE"
PROGRAM = """
import asyncio, contextlib, sys
from soms.rpc.access import allows
from soms.rpc.gen.soms import v1
from soms.rpc.server import serve

class Servicer(v1.OrderServiceBase):
    @allows("anyone")
    async def get_order(self, message):
        await asyncio.sleep(0.005)
        return v1.GetOrderResponse(order=v1.Order(id=message.id))

    @allows("service")
    async def cancel_order(self, message):
        await asyncio.sleep(0.005)
        return v1.CancelOrderResponse()

    @allows("admin")
    async def closed(self, message): ...

    place_order = list_orders = list_timeline = pay_order = ship_order = deliver_order = return_order = resolve_order = claim_key = closed
    enter_order = import_orders = closed

@contextlib.asynccontextmanager
async def order_service(settings, directory):
    if "--slow" in sys.argv:
        print("waiting", flush=True)
        await asyncio.sleep(60)
    yield Servicer()
    print("closed", flush=True)

serve("order", order_service)
"""


@pytest.fixture(scope="module")
async def registry(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    """Settings that name a registry of their own."""
    engine = Eureka(tmp_path_factory.mktemp("eureka"), ports.choose(1)[0])
    async with engine.running():
        yield Settings(home=tmp_path_factory.mktemp("home"), eureka=str(engine.record["url"]))


@contextlib.asynccontextmanager
async def process(settings: Settings, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of the order service."""
    environment = {**settings.environment(), "SOMS_EUREKA": settings.eureka or ""}
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "-c", PROGRAM, *arguments]
    running = await asyncio.create_subprocess_exec(*command, env=environment, stdout=pipe, stderr=pipe, cwd=Path(__file__).parents[2])
    try:
        yield running
    finally:  # by the front door, so that the registry does not keep it for the next test
        with contextlib.suppress(ProcessLookupError):
            running.send_signal(signal.SIGCONT)
            running.terminate()
        async with asyncio.timeout(20):
            await running.communicate()


async def serving(running: asyncio.subprocess.Process) -> int:
    """The port of a process, as soon as it serves."""
    assert running.stderr
    async with asyncio.timeout(20):
        while line := await running.stderr.readline():
            if b'"serving"' in line:
                return int(line.partition(b'"address":"127.0.0.1:')[2].partition(b'"')[0])
    raise AssertionError("the process has ended")


@contextlib.asynccontextmanager
async def two(settings: Settings) -> AsyncIterator[tuple[list[asyncio.subprocess.Process], Directory, Services]]:
    """Two processes that are up, and stubs as the gateway has them."""
    async with process(settings) as one, process(settings) as other, discovering(settings) as directory:
        wanted = {await serving(one), await serving(other)}
        async with asyncio.timeout(20):
            while {instance.port for instance in directory.instances(ORDER)} != wanted:
                directory.refresh_soon()
                await asyncio.sleep(0.05)
        async with connected(settings, directory, "web", edge=True) as services:
            yield [one, other], directory, services


async def under_load(services: Services, happening: Any) -> Counter[str]:
    """What 16 callers get, of reads and of changes without a key, while something happens to the service."""
    found: Counter[str] = Counter()
    done = asyncio.Event()

    async def caller(number: int) -> None:
        while not done.is_set():
            try:
                if number % 2:
                    await services.orders.get_order(v1.GetOrderRequest(id="x"))
                else:
                    await services.as_service.orders.cancel_order(v1.CancelOrderRequest())
                found["answered"] += 1
            except errors.SomsError as error:
                found[f"{'read' if number % 2 else 'change'}: {type(error).__name__}"] += 1

    callers = [asyncio.create_task(caller(number)) for number in range(16)]
    await asyncio.sleep(0.3)
    await happening
    await asyncio.sleep(0.3)
    done.set()
    await asyncio.gather(*callers)
    return found


async def test_process_that_is_told_to_leave_loses_no_call(registry: Settings) -> None:
    """SIGTERM under load: out of the registry, everything answered, resources closed, exit 0, and not one failure."""
    async with two(registry) as ((one, _), directory, services):

        async def leave() -> None:
            one.send_signal(signal.SIGTERM)
            async with asyncio.timeout(10):
                out, log = await one.communicate()
            assert (one.returncode, out) == (0, b"closed\n")
            assert b"every call is answered" in log

        found = await under_load(services, leave())

        assert found.total() == found["answered"] > 100
        assert len(directory.instances(ORDER)) == 1


async def test_frozen_process_costs_only_its_deadline(registry: Settings) -> None:
    """A process under SIGSTOP: whoever called it hears so at the deadline, the others are answered; afterwards all is well."""
    async with two(registry) as ((one, _), _, services):

        async def freeze() -> None:
            one.send_signal(signal.SIGSTOP)
            await asyncio.sleep(2.5)
            one.send_signal(signal.SIGCONT)

        started = time.monotonic()
        found = await under_load(services, freeze())

    failed = found.total() - found["answered"]
    assert time.monotonic() - started < 2.5 + 0.6 + 5
    assert found["answered"] > 200
    assert failed <= 32


async def test_process_told_to_leave_before_it_is_ready(registry: Settings) -> None:
    """A process that still waits for what it needs leaves at once."""
    async with process(registry, "--slow") as running:
        assert running.stdout
        assert await running.stdout.readline() == b"waiting\n"
        started = time.monotonic()
        running.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            await running.communicate()

    assert running.returncode == 0
    assert time.monotonic() - started < 3


async def test_process_without_a_registry_says_what_is_missing(tmp_path: Path) -> None:
    """A process that cannot serve says why in one line and ends with 1."""
    async with process(Settings(home=tmp_path)) as running:
        async with asyncio.timeout(20):
            _, log = await running.communicate()

    assert running.returncode == 1
    assert b"cannot serve: no Eureka server is known" in log
    assert b"Traceback" not in log


async def test_killed_process_costs_at_most_the_changes_under_way(registry: Settings) -> None:
    """After kill -9 of one of two processes, reads all succeed; changes fail that were under way there, and no more."""
    async with two(registry) as ((one, _), _, services):

        async def kill() -> None:
            one.kill()
            await one.wait()

        found = await under_load(services, kill())

    failed = found.total() - found["answered"]
    assert found["answered"] > 100
    assert found["read: Unavailable"] == 0
    assert found["change: Unavailable"] == failed <= 8
