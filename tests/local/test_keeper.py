"""Starting again what ends."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from soms.errors import Unavailable
from soms.local import keeper


class Dying:
    """A child that lives as long as the clock says."""

    def __init__(self, clock: list[float], lifetime: float) -> None:
        """Let `lifetime` seconds of a fake clock go by."""
        self.clock, self.lifetime = clock, lifetime

    async def wait(self) -> int:
        """End at once, later."""
        self.clock[0] += self.lifetime
        return 1

    async def stop(self, grace_seconds: float) -> None:
        """Nothing is left."""


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Awaitable[list[float]]]:
    """The pauses between restarts of children with given lifetimes."""

    async def run(*lifetimes: float) -> list[float]:
        clock, taken, over = [0.0], [], asyncio.Event()
        others, real = asyncio.all_tasks(), asyncio.sleep
        rest = iter(lifetimes)

        async def start() -> Dying:
            return Dying(clock, next(rest))

        async def sleep(seconds: float) -> None:
            if asyncio.current_task() in others:
                await real(seconds)
                return
            taken.append(seconds)
            if len(taken) == len(lifetimes):
                over.set()
                await asyncio.Event().wait()

        monkeypatch.setattr(keeper.time, "monotonic", lambda: clock[0])
        monkeypatch.setattr(keeper.asyncio, "sleep", sleep)
        kept = keeper.Keeper(start, print, grace_seconds=1)
        await over.wait()
        await kept.stop()
        return taken

    return run


async def test_pauses_double_up_to_a_cap(pauses: Callable[..., Awaitable[list[float]]]) -> None:
    """A child that dies at once is started again ever more slowly, but never more rarely than the cap."""
    assert await pauses(*[0.0] * 9) == [0.25, 0.5, 1, 2, 4, 8, 15, 15, 15]


async def test_a_healthy_time_forgives(pauses: Callable[..., Awaitable[list[float]]]) -> None:
    """After half a minute of life the next death counts as the first."""
    assert await pauses(0, 0, 31, 0) == [0.25, 0.5, 0.25, 0.5]


async def test_the_first_failure_is_told() -> None:
    """Whoever waits for the start learns why there was none."""

    async def start() -> None:
        raise Unavailable("no such engine")

    kept = keeper.Keeper(start, print, grace_seconds=1)
    with pytest.raises(Unavailable, match="no such engine"):
        await kept.started()
    await kept.stop()
