"""A worker as a process: found in the registry, asked over HTTP, in a slot of its own, and ended when it does not get on."""

import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from soms.discovery import discovering
from soms.local import ports
from soms.local.eureka import Eureka


@pytest.fixture(scope="module")
async def eureka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A registry of this module's own."""
    engine = Eureka(tmp_path_factory.mktemp("eureka"), ports.choose(1)[0])
    async with engine.running():
        yield str(engine.record["url"])


async def port(group: Any, until: Any, number: int = 1) -> int:
    """The HTTP port of the last worker, when so many work."""
    await until(lambda: len(group.told('"working"')) == number)
    return int(group.told('"working"')[-1].partition('"address":"127.0.0.1:')[2].partition('"')[0])


async def has(ask: Callable[[], Awaitable[str]], part: str) -> bool:
    """Whether what is answered has this in it."""
    return part in await ask()


async def test_a_worker_is_found_and_asked(group: Any, until: Any, eureka: str) -> None:
    """UP in the registry once events flow, with health and figures at the same port; gone when it is told to stop."""
    group.settings = group.settings.model_copy(update={"eureka": eureka})
    await group.feed(["ok"] * 20 + ["hopeless"])
    worker = await group.start()
    name = f"{group.name.upper()}-SERVICE"
    async with discovering(group.settings) as directory, ClientSession() as http:
        (found,) = await directory.wait_for(name, 20)
        assert found.port == await port(group, until)
        await until(group.through)
        async with http.get(f"http://127.0.0.1:{found.port}/readyz") as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ready", "dependencies": {"stream": "ready"}})

        async def figures() -> str:
            async with http.get(f"http://127.0.0.1:{found.port}/metrics") as answer:
                return await answer.text()

        await until(lambda: has(figures, f'soms_consumer_lag{{partition="0",topic="{group.topic}"}} 0.0'))
        told = await figures()
        worker.process.send_signal(signal.SIGTERM)
        assert await worker.wait() == 0
        async with http.get(f"{eureka}/apps/{name}") as answer:
            assert answer.status == 404

    assert f'soms_events_total{{outcome="handled",topic="{group.topic}"}} 20.0' in told
    assert f'soms_events_total{{outcome="dead_lettered",topic="{group.topic}"}} 1.0' in told


async def test_a_worker_keeps_its_slot(group: Any, until: Any) -> None:
    """Killed and started again it has the same port and place in the group; it comes back too where its port was taken meanwhile."""
    group.variables["WORKER_STORE"] = "table"
    worker = await group.start()
    before = await port(group, until)
    worker.process.kill()
    await worker.wait()
    await group.start()
    assert await port(group, until, 2) == before
    await group.children[-1].stop(grace_seconds=10)
    with socket.create_server(("127.0.0.1", before)):
        await group.start()
        other = await port(group, until, 3)

    assert other != before


async def test_a_slot_has_one_worker(group: Any, until: Any, tmp_path: Path) -> None:
    """The second one takes the next; a slot that was asked for and is taken is refused with a clear word."""
    await group.start("--slot", "0")
    await port(group, until)
    await group.start()
    await port(group, until, 2)
    refused = await group.start("--slot", "1")

    assert await refused.wait() == 1
    assert sorted(path.name for path in (tmp_path / "agents").iterdir()) == [f"{group.name}-0", f"{group.name}-1"]
    await until(lambda: group.told(f"slot 1 of {group.name}"))


async def test_a_worker_that_stands_still_ends(group: Any, until: Any) -> None:
    """Events wait, nothing moves: it ends with code 1 and says where it stood; without events it would stay."""
    group.variables |= {"WORKER_LIMIT": "4", "WORKER_TWIN": "idle"}
    worker = await group.start()
    await port(group, until)
    began = time.monotonic()
    await until(lambda: time.monotonic() - began > 6)
    assert not worker.ended
    await group.feed(["ok"])

    assert await worker.wait() == 1
    assert group.told("nothing moves")
    await until(lambda: group.told("Timeout (0:00:04)!"))


async def test_a_worker_whose_loop_is_blocked_ends(group: Any, until: Any) -> None:
    """A handler that never gives the loop back cannot be timed out, but the process ends."""
    group.variables["WORKER_LIMIT"] = "4"
    worker = await group.start()
    await port(group, until)
    await group.feed(["block"])

    assert await worker.wait() == 1
    await until(lambda: [line for line in group.told("consumer.py") if "in handle" in line])


async def test_a_mistake_of_our_own_ends_the_worker(group: Any, until: Any) -> None:
    """Better a restart than a partition that stands still: it ends with code 1, and the next one does the work."""
    group.variables["WORKER_TWIN"] = "mistaken"
    await group.feed(["ok"])
    worker = await group.start()
    assert await worker.wait() == 1
    await until(lambda: group.told("the worker crashed: ZeroDivisionError()"))
    del group.variables["WORKER_TWIN"]
    await group.start()
    await until(group.through)

    assert group.lost() == set()


async def test_stopping_while_the_broker_is_away(group: Any, until: Any) -> None:
    """Told to stop while it waits for the broker, it ends at once with code 0."""
    group.settings = group.settings.model_copy(update={"kafka": f"127.0.0.1:{ports.choose(1)[0]}"})
    worker = await group.start()
    await until(lambda: group.told("Unable connect"))
    worker.process.send_signal(signal.SIGTERM)
    began = time.monotonic()

    assert await worker.wait() == 0
    assert time.monotonic() - began < 5


async def test_the_broker_restarts(group: Any, until: Any, broker: Any) -> None:
    """A worker goes on by itself when it is back; one that is told to stop meanwhile does so at once. Nothing is lost."""
    worker, other = await group.start(), await group.start()
    await group.feed(["ok"] * 200)
    await until(group.through)
    await broker.stop()
    other.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert await other.wait() == 0
    assert time.monotonic() - began < 8
    await broker.start()
    await group.feed(["ok"] * 200)
    await until(group.through)

    assert not worker.ended
    assert group.lost() == set()
