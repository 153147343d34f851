"""Finding instances: what is listed, what is kept, who is told."""

import asyncio
from typing import Any

import pytest
from py_eureka_client.eureka_basic import Application, Applications, PortWrapper
from py_eureka_client.eureka_basic import Instance as Record

from soms.config import Settings
from soms.discovery import Directory, Instance, discovering, registered
from soms.errors import Unavailable


async def test_only_instances_that_are_up_are_listed(settings: Settings, until: Any) -> None:
    """STARTING is not listed, UP is, OUT_OF_SERVICE is not any more; each change is told."""
    told: list[int] = []
    async with discovering(settings) as directory, registered(settings, "PRODUCT-SERVICE", 6001) as registration:
        unsubscribe = directory.subscribe(lambda: told.append(len(directory.instances("PRODUCT-SERVICE"))))
        with pytest.raises(Unavailable):
            await directory.wait_for("PRODUCT-SERVICE", 0.3)
        await registration.up()

        found = await directory.wait_for("PRODUCT-SERVICE", 5)
        assert found == (Instance("127.0.0.1:PRODUCT-SERVICE:6001", "127.0.0.1", 6001),)
        await registration.out_of_service()

        async def gone() -> bool:
            return told == [1, 0]

        await until(gone)
        assert directory.instances("PRODUCT-SERVICE") == ()
        unsubscribe()
        await registration.up()
        await directory.wait_for("PRODUCT-SERVICE", 5)
        assert told == [1, 0]


async def test_list_holds_while_the_registry_is_away(over_line: Settings, line: Any, until: Any) -> None:
    """Cut off from the registry, callers keep the last good list."""
    async with discovering(over_line) as directory, registered(over_line, "PRODUCT-SERVICE", 6002) as registration:
        await registration.up()
        before = await directory.wait_for("PRODUCT-SERVICE", 5)
        await line.cut()

        async def failing() -> bool:
            return directory.pulse.failures > 2

        await until(failing)
        assert directory.instances("PRODUCT-SERVICE") == before
        await line.connect()


async def test_starts_without_a_registry(over_line: Settings, line: Any) -> None:
    """Nobody is known at first; once the registry is there, everybody is."""
    await line.cut()
    async with discovering(over_line) as directory, registered(over_line, "PRODUCT-SERVICE", 6003) as registration:
        with pytest.raises(Unavailable, match="PRODUCT-SERVICE"):
            await directory.wait_for("PRODUCT-SERVICE", 0.2)
        await line.connect()
        await registration.up()
        assert len(await directory.wait_for("PRODUCT-SERVICE", 5)) == 1


async def test_strange_records_harm_nobody(settings: Settings, view: Any) -> None:
    """An instance with an unreadable port is left out, the others are listed."""
    async with registered(settings, "PRODUCT-SERVICE", 6004, metadata={"gRPC_port": "ünreadable"}) as strange:
        await strange.up()
        async with discovering(settings) as directory, registered(settings, "PRODUCT-SERVICE", 6005) as registration:
            await registration.up()
            assert [one.port for one in await directory.wait_for("PRODUCT-SERVICE", 5)] == [6005]


def answer(*records: tuple[int, str]) -> Applications:
    """A registry that lists order services of these ports and statuses."""
    application = Application("ORDER-SERVICE")
    for port, status in records:
        application.add_instance(Record(str(port), app="ORDER-SERVICE", hostName="h", port=PortWrapper(port), status=status))
    applications = Applications()
    if records:
        applications.add_application(application)
    return applications


class Script:
    """Answers one after the other, in place of a registry; None for being away."""

    def __init__(self, *answers: Applications | None) -> None:
        self._answers = iter(answers)
        self.directory = Directory(self.ask)

    async def ask(self, *_: object) -> Applications:
        """The next answer."""
        if (found := next(self._answers)) is None:
            raise ConnectionError
        return found

    async def ports(self) -> list[int]:
        """The ports listed after the next answer."""
        await self.directory.pulse.beat()
        return [one.port for one in self.directory.instances("ORDER-SERVICE")]


async def test_unlisted_instance_goes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a registry that has always answered, what is no longer listed is gone."""
    script = Script(answer((1, "UP"), (2, "UP")), answer((2, "UP")))

    assert [await script.ports() for _ in range(2)] == [[1, 2], [2]]


async def test_unlisted_instance_is_kept_for_a_while_after_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an outage of the registry a missing instance has 60 s to register again, one that is listed as not UP has none."""
    now = 1000.0
    monkeypatch.setattr("soms.discovery.time.monotonic", lambda: now)
    back = answer((2, "OUT_OF_SERVICE"))
    script = Script(answer((1, "UP"), (2, "UP")), None, answer(), back, back)

    assert [await script.ports() for _ in range(4)] == [[1, 2], [1, 2], [1, 2], [1]]
    now += 60
    assert await script.ports() == []


async def test_empty_registry_is_doubted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that suddenly lists nobody may have restarted unseen: all are kept for 60 s, then it is believed."""
    now = 1000.0
    monkeypatch.setattr("soms.discovery.time.monotonic", lambda: now)
    script = Script(answer((1, "UP")), answer(), answer(), answer())

    assert [await script.ports() for _ in range(2)] == [[1], [1]]
    now += 59
    assert await script.ports() == [1]
    now += 1
    assert await script.ports() == []


async def test_refresh_is_asked_for_at_will_and_done_in_measure(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often a refresh is asked for, the registry is asked at most once a gap."""
    monkeypatch.setattr("soms.discovery.FETCH_SECONDS", 60)
    fetches = 0
    async with discovering(settings) as directory:
        fetch = directory.run_once

        async def counted() -> None:
            nonlocal fetches
            fetches += 1
            await fetch()

        monkeypatch.setattr(directory.pulse, "_run_once", counted)
        started = asyncio.get_running_loop().time()
        while (elapsed := asyncio.get_running_loop().time() - started) < 0.5:
            directory.refresh_soon()
            await asyncio.sleep(0)

    assert 2 <= fetches <= elapsed / 0.05 + 1
