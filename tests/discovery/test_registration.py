"""The lease of a process, on a real Eureka."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from soms.config import Settings
from soms.discovery import Registration, discovering, registered
from soms.errors import FailedPrecondition
from soms.local.eureka import Eureka


@asynccontextmanager
async def in_service(settings: Settings, app: str, port: int) -> AsyncIterator[Registration]:
    """A registration that is UP."""
    async with registered(settings, app, port) as registration:
        assert await registration.up()
        yield registration


async def test_life_of_a_lease(settings: Settings, view: Any, until: Any) -> None:
    """STARTING at once, UP when ready, OUT_OF_SERVICE before the drain, gone at the end."""
    async with registered(settings, "ORDER-SERVICE", 5001) as registration:
        await until(lambda: view.instance("ORDER-SERVICE", 5001))
        assert await view.status("ORDER-SERVICE", 5001) == "STARTING"
        assert await registration.up()
        assert await view.status("ORDER-SERVICE", 5001) == "UP"
        assert await registration.out_of_service()
        assert await view.status("ORDER-SERVICE", 5001) == "OUT_OF_SERVICE"

    assert await view.instance("ORDER-SERVICE", 5001) is None


async def test_record_says_where_and_what(settings: Settings, view: Any) -> None:
    """Address, gRPC port, version, lease and own metadata stand in the registry."""
    async with registered(settings, "ORDER-SERVICE", 5002, metadata={"zone": "a"}) as registration:
        await registration.up()
        record = await view.instance("ORDER-SERVICE", 5002)

    assert (record["hostName"], record["ipAddr"], record["port"]["$"]) == ("127.0.0.1", "127.0.0.1", 5002)
    assert record["metadata"] == {"gRPC_port": "5002", "version": "0.1.0", "zone": "a"}
    assert record["leaseInfo"]["durationInSecs"] == 2


async def test_http_process_has_no_grpc_port(settings: Settings, view: Any) -> None:
    """The gateway registers its HTTP port alone."""
    async with registered(settings, "GATEWAY", 5003, grpc=False) as registration:
        await registration.up()
        assert set((await view.instance("GATEWAY", 5003))["metadata"]) == {"version"}


async def test_wildcard_address_is_not_published(settings: Settings, view: Any) -> None:
    """A process that listens everywhere registers an address that others can reach."""
    everywhere = settings.model_copy(update={"host": "0.0.0.0"})
    async with registered(everywhere, "WILDCARD-SERVICE", 5004) as registration:
        await registration.up()
        _, found = await view.send("GET", "/apps/WILDCARD-SERVICE")

    assert found["application"]["instance"][0]["hostName"] not in ("0.0.0.0", "")


async def test_registration_alone_does_not_leave_service(settings: Settings, view: Any) -> None:
    """The trap behind the override: Eureka keeps UP over a mere registration as OUT_OF_SERVICE (the broken twin)."""
    async with in_service(settings, "ORDER-SERVICE", 5005) as registration:
        record = await view.instance("ORDER-SERVICE", 5005)
        record |= {"status": "OUT_OF_SERVICE", "lastDirtyTimestamp": str(int(record["lastDirtyTimestamp"]) + 1)}
        status, _ = await view.send("POST", "/apps/ORDER-SERVICE", {"instance": record})
        assert (status, await view.status("ORDER-SERVICE", 5005)) == (204, "UP")

        await registration.out_of_service()
        assert await view.status("ORDER-SERVICE", 5005) == "OUT_OF_SERVICE"


async def test_override_of_an_earlier_life_is_lifted(settings: Settings, view: Any) -> None:
    """Killed during its drain and started again under the same id, a process comes up all the same."""
    async with in_service(settings, "GATEWAY", 5006):
        await view.send("PUT", "/apps/GATEWAY/127.0.0.1:GATEWAY:5006/status?value=OUT_OF_SERVICE")
        async with in_service(settings, "GATEWAY", 5006):
            assert await view.status("GATEWAY", 5006) == "UP"


async def test_drain_may_be_called_off(settings: Settings, view: Any) -> None:
    """A process out of service can come up again."""
    async with in_service(settings, "ORDER-SERVICE", 5007) as registration:
        await registration.out_of_service()
        assert await registration.up()
        assert await view.status("ORDER-SERVICE", 5007) == "UP"


async def test_operators_override_holds(settings: Settings, view: Any) -> None:
    """An instance that an operator took out of service stays out over renewals."""
    async with in_service(settings, "ORDER-SERVICE", 5008) as registration:
        await view.send("PUT", "/apps/ORDER-SERVICE/127.0.0.1:ORDER-SERVICE:5008/status?value=OUT_OF_SERVICE")
        await registration.run_once()
        assert await view.status("ORDER-SERVICE", 5008) == "OUT_OF_SERVICE"


@pytest.mark.parametrize("status", ["STARTING", "UP", "OUT_OF_SERVICE"])
async def test_forgotten_lease_comes_back_as_it_was(settings: Settings, view: Any, until: Any, status: str) -> None:
    """When the registry has lost the lease, it is registered again with the current status."""
    async with registered(settings, "ORDER-SERVICE", 5009) as registration:
        await until(lambda: view.instance("ORDER-SERVICE", 5009))
        if status != "STARTING":
            await (registration.up() if status == "UP" else registration.out_of_service())
        await view.send("DELETE", "/apps/ORDER-SERVICE/127.0.0.1:ORDER-SERVICE:5009")
        await until(lambda: view.instance("ORDER-SERVICE", 5009))
        await until(lambda: as_expected(view, 5009, status))


async def as_expected(view: Any, port: int, status: str) -> bool:
    """Whether the order service at `port` has `status`."""
    return bool(await view.status("ORDER-SERVICE", port) == status)


async def test_starts_without_a_registry(over_line: Settings, line: Any, view: Any, until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process comes up while the registry is away, and is found as UP as soon as that is there."""
    monkeypatch.setattr("soms.discovery.ANNOUNCE_SECONDS", 0.1)
    await line.cut()
    async with registered(over_line, "ORDER-SERVICE", 5010) as registration:
        assert not await registration.up()
        await line.connect()
        await until(lambda: as_expected(view, 5010, "UP"))


async def test_second_server_is_asked_when_the_first_is_away(settings: Settings, view: Any) -> None:
    """Several servers may be named; the one that answers serves."""
    both = settings.model_copy(update={"eureka": f"http://127.0.0.1:1/eureka, {settings.eureka}"})
    async with registered(both, "ORDER-SERVICE", 5011) as registration:
        assert await registration.up()
        assert await view.status("ORDER-SERVICE", 5011) == "UP"


async def test_no_registry_named_is_a_clear_error(tmp_path: Path) -> None:
    """Without any address the error names the setting and the command."""
    with pytest.raises(FailedPrecondition, match="SOMS_EUREKA"):
        async with registered(Settings(home=tmp_path), "ORDER-SERVICE", 5012):
            pass


async def leave_while_registering(settings: Settings, line: Any, port: int) -> None:
    """Leave while a registration is held back on its way; it arrives later."""
    line.open.clear()
    async with registered(settings, "ORDER-SERVICE", port):
        await asyncio.wait_for(line.waiting.wait(), 5)
        asyncio.get_running_loop().call_later(0.3, line.open.set)


async def test_late_registration_is_cancelled_too(over_line: Settings, line: Any, view: Any) -> None:
    """A registration under way when the process leaves does not outlive it: no zombie."""
    await leave_while_registering(over_line, line, 5013)

    assert await view.instance("ORDER-SERVICE", 5013) is None


async def test_cut_off_registration_would_be_a_zombie(
    over_line: Settings, line: Any, view: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broken twin: whoever cuts the request off and goes is registered afterwards."""
    monkeypatch.setattr("soms.discovery.LEAVE_SECONDS", 0)
    await leave_while_registering(over_line, line, 5014)

    await until(lambda: view.instance("ORDER-SERVICE", 5014))


async def test_leaving_is_bounded_and_leaves_no_task(over_line: Settings, line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that never answers holds nobody back, and nothing goes on in the background."""
    monkeypatch.setattr("soms.discovery.LEAVE_SECONDS", 0.2)
    line.open.clear()
    before = {task for task in asyncio.all_tasks() if "registering" in task.get_name()}
    async with asyncio.timeout(2), registered(over_line, "ORDER-SERVICE", 5015):
        await line.waiting.wait()

    assert {task for task in asyncio.all_tasks() if "registering" in task.get_name()} == before


OTHER = """
import asyncio, sys
from pathlib import Path
from soms import discovery
from soms.config import Settings
discovery.RENEW_SECONDS, discovery.LEASE_SECONDS = 0.3, 2
async def main():
    settings = Settings(home=Path(sys.argv[1]), eureka=sys.argv[2])
    async with discovery.registered(settings, "TWIN-SERVICE", int(sys.argv[3])) as registration:
        await registration.up()
        await asyncio.sleep(60)
asyncio.run(main())
"""


async def test_killed_instance_disappears(settings: Settings, until: Any) -> None:
    """Two instances are seen; one dies by kill -9 and is gone when its lease has ended, the other stays."""
    async with discovering(settings) as directory, in_service(settings, "TWIN-SERVICE", 5016):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", OTHER, str(settings.home), settings.eureka or "", "5017")
        try:

            async def seen(*ports: int) -> bool:
                return [instance.port for instance in directory.instances("TWIN-SERVICE")] == list(ports)

            await until(lambda: seen(5016, 5017))
        finally:
            process.kill()
            await process.wait()
        await until(lambda: seen(5016))


async def test_registry_killed_and_started_again(settings: Settings, eureka: Eureka, view: Any, until: Any) -> None:
    """Through a kill -9 of the registry everyone stays listed, and within 5 s of its return is registered as before."""
    async with (
        discovering(settings) as directory,
        in_service(settings, "ORDER-SERVICE", 5018),
        in_service(settings, "ORDER-SERVICE", 5019) as leaving,
    ):
        await leaving.out_of_service()
        before = await directory.wait_for("ORDER-SERVICE", 5)
        changes: list[object] = []
        directory.subscribe(lambda: changes.append(directory.instances("ORDER-SERVICE")))
        assert eureka.child
        eureka.child.process.kill()
        await eureka.child.process.wait()
        await eureka.start()

        await until(lambda: as_expected(view, 5018, "UP"), 5)
        await until(lambda: as_expected(view, 5019, "OUT_OF_SERVICE"), 5)
        assert [one.port for one in before] == [5018]
        assert directory.instances("ORDER-SERVICE") == before
        assert all(change == before for change in changes)
