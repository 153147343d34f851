"""Background work: when it runs, how it fails, how it ends."""

import asyncio
import logging
from collections.abc import Callable

import pytest

from soms.pulse import Pulse


class Work:
    """Something to do: counts its runs, fails on demand, and can be waited for."""

    def __init__(self, fail: Callable[[int], bool] = lambda _: False) -> None:
        self.runs = 0
        self._fail = fail
        self._ran = asyncio.Condition()

    async def __call__(self) -> None:
        """Run."""
        async with self._ran:
            self.runs += 1
            self._ran.notify_all()
        if self._fail(self.runs):
            raise ConnectionError("away")

    async def times(self, runs: int) -> None:
        """Wait for that many runs."""
        async with asyncio.timeout(5), self._ran:
            await self._ran.wait_for(lambda: self.runs >= runs)


async def test_runs_at_once_and_again() -> None:
    """The first run is at once, the others follow in intervals."""
    work = Work()
    async with Pulse("test", work, 0.01).running():
        await work.times(3)


async def test_runs_sooner_when_asked() -> None:
    """A run that is asked for does not wait for the interval."""
    work = Work()
    pulse = Pulse("test", work, 3600)
    async with pulse.running():
        await work.times(1)
        pulse.soon()
        await work.times(2)


async def test_failure_is_logged_once_and_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    """A run of failures is one warning, the recovery one line, and work goes on."""
    work = Work(fail=lambda run: run <= 3)
    with caplog.at_level(logging.INFO):
        async with Pulse("finding", work, 0.01).running():
            await work.times(5)

    assert [record.message for record in caplog.records] == ["finding fails: ConnectionError: away", "finding works again"]


def test_pause_grows_while_failing_up_to_the_interval() -> None:
    """Retries come after about 0.25, 0.5, 1, 2 s and then at the interval, with jitter."""
    pulse = Pulse("test", Work(), 3)
    for failures, seconds in enumerate([3, 0.25, 0.5, 1, 2, 3, 3]):
        pulse.failures = failures
        assert 0.9 * seconds <= pulse._pause() <= 1.1 * seconds
    pulse.failures = 10**6
    assert pulse._pause() <= 3.3


async def test_end_waits_for_the_run_under_way_and_finishes_after_it() -> None:
    """Within the time it is given, the last run ends whole, then `finish` is called, once."""
    begun, order = asyncio.Event(), []

    async def slow() -> None:
        begun.set()
        await asyncio.sleep(0.05)
        order.append("run")

    async def finish() -> None:
        order.append("finish")

    async with Pulse("test", slow, 3600, finish=finish).running(leave_seconds=5):
        await begun.wait()

    assert order == ["run", "finish"]


async def test_end_cancels_what_takes_too_long() -> None:
    """Work that hangs is cancelled when its time is up."""
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with asyncio.timeout(2), Pulse("test", hang, 3600).running(leave_seconds=0.01):
        await begun.wait()

    assert cancelled.is_set()


async def test_error_of_the_block_comes_out() -> None:
    """Ending by an exception or a cancellation of the block ends the work and hides nothing."""
    work = Work()

    async def block() -> None:
        async with Pulse("test", work, 0.001).running(leave_seconds=1):
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await work.times(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    after = work.runs
    await asyncio.sleep(0.01)

    assert work.runs == after
