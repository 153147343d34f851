"""Workers that come, go, are killed or frozen under load: no event is lost, none takes effect twice, and tables tell the truth."""

import asyncio
import signal
import time
from typing import Any

import orjson

WORK = ["work 0.004"]
UNCOMMITTED = 12


async def loaded(group: Any, until: Any, *happening: Any) -> None:
    """Feed a backlog, then 200 events a second while each of `happening` takes place in turn; wait until all is through."""
    await group.feed(WORK * 1000)
    done = asyncio.Event()

    async def feed() -> None:
        while not done.is_set():
            await group.feed(WORK * 50, every_seconds=1 / 200)

    feeding = asyncio.create_task(feed())
    try:
        for step in happening:
            await step()
    finally:
        done.set()
        await feeding
    await until(group.through)


async def counted(group: Any) -> int:
    """What the table tells of all partitions: in its changelog, of each key the value with the highest source offset."""
    cells: dict[bytes, dict[str, int]] = {}
    for record in await group.records(f"{group.name}-counts-changelog"):
        value = orjson.loads(record.value)
        if cells.get(record.key, {"o": -1})["o"] < value["o"]:
            cells[record.key] = value
    return sum(value["n"] for value in cells.values())


async def after(group: Any, until: Any, more: int = 300) -> None:
    """Wait until so many more events are done."""
    before = len(group.noted("done"))
    await until(lambda: len(group.noted("done")) > before + more)


async def test_a_worker_joins_and_leaves(group: Any, until: Any) -> None:
    """Under load, with a table: nothing is lost, nothing is done twice, and the table counts every event once."""
    group.variables["WORKER_STORE"] = "table"
    first = await group.start()

    async def join_and_leave() -> None:
        await after(group, until)
        other = await group.start()
        await until(lambda: len(group.told('"working"')) == 2)
        await after(group, until)
        other.process.send_signal(signal.SIGTERM)
        assert await other.wait() == 0

    await loaded(group, until, join_and_leave)

    assert not first.ended
    assert group.lost() == set()
    assert set(group.noted("done").values()) == {1}
    assert await counted(group) == len(group.fed)


async def test_without_a_commit_events_are_done_twice(group: Any, until: Any) -> None:
    """The broken twin: a worker that lets its partitions go without waiting and committing leaves work to be done again."""
    group.variables["WORKER_TWIN"] = "forgetful"
    await group.start()

    async def join() -> None:
        await after(group, until)
        await group.start()
        await until(lambda: len(group.told('"working"')) == 2)

    await loaded(group, until, join)

    assert group.lost() == set()
    assert max(group.noted("done").values()) == 2


async def kill_and_start(group: Any, until: Any) -> None:
    """Kill the last worker in mid-work, with events done and not committed, and start another in its slot."""
    await after(group, until)
    victim = group.children[-1]

    async def caught() -> bool:
        victim.process.send_signal(signal.SIGSTOP)
        if await group.uncommitted(victim) > UNCOMMITTED:
            return True
        victim.process.send_signal(signal.SIGCONT)
        return False

    await until(caught)
    victim.process.kill()
    await victim.wait()
    await group.start()


async def test_a_worker_is_killed(group: Any, until: Any, effects: Any) -> None:
    """Killed twice with no chance to say goodbye: nothing is lost; what comes again is known by its receipt."""
    await group.start()
    await group.start()
    await loaded(group, until, *[lambda: kill_and_start(group, until)] * 2)

    assert group.lost() == set()
    assert await effects() == (len(group.fed), len(group.fed))
    assert max(group.noted("done").values()) > 1


async def test_without_receipts_events_take_effect_twice(group: Any, until: Any, effects: Any) -> None:
    """The broken twin: what comes again after a kill takes effect again."""
    group.variables["WORKER_TWIN"] = "receiptless"
    await group.start()
    await loaded(group, until, lambda: kill_and_start(group, until))
    found, of_events = await effects()

    assert of_events == len(group.fed) < found


async def test_a_hasty_commit_loses_events(group: Any, until: Any) -> None:
    """The broken twin: who commits what is delivered but not finished loses it when killed."""
    group.variables["WORKER_TWIN"] = "hasty"
    await group.feed(["work 0.1"] * 400)
    worker = await group.start()
    await until(group.through)
    worker.process.kill()
    await worker.wait()

    assert len(group.lost()) > 100


async def test_a_table_survives_a_kill(group: Any, until: Any) -> None:
    """What is read again after a kill counts once."""
    group.variables["WORKER_STORE"] = "table"
    await group.start()
    await loaded(group, until, lambda: kill_and_start(group, until))

    assert group.lost() == set()
    assert max(group.noted("done").values()) > 1
    assert await counted(group) == len(group.fed)


async def test_without_a_fence_a_table_counts_twice(group: Any, until: Any) -> None:
    """The broken twin: what is read again counts again."""
    group.variables |= {"WORKER_STORE": "table", "WORKER_TWIN": "unfenced"}
    await group.start()
    await loaded(group, until, lambda: kill_and_start(group, until))

    assert await counted(group) > len(group.fed)


async def test_a_worker_is_told_to_stop(group: Any, until: Any) -> None:
    """It ends at once with code 0, and its successor goes on where it stopped: nothing is lost and nothing done twice."""
    await group.start()

    async def stop() -> None:
        await after(group, until)
        began = time.monotonic()
        group.children[-1].process.send_signal(signal.SIGTERM)
        assert await group.children[-1].wait() == 0
        assert time.monotonic() - began < 5
        await group.start()

    await loaded(group, until, stop)

    assert group.lost() == set()
    assert set(group.noted("done").values()) == {1}


async def test_a_worker_is_frozen(group: Any, until: Any) -> None:
    """Frozen past its session, its partitions go to another; awake again it does no harm, and the table counts every event once."""
    group.variables["WORKER_STORE"] = "table"
    await group.start()
    frozen = await group.start()
    await until(lambda: len(group.told('"working"')) == 2)

    async def freeze() -> None:
        await after(group, until)
        frozen.process.send_signal(signal.SIGSTOP)
        await after(group, until)
        here = set(group.fed.values())
        await until(lambda: here <= set(group.noted("done")))
        frozen.process.send_signal(signal.SIGCONT)

    await loaded(group, until, freeze)

    assert group.lost() == set()
    assert await counted(group) == len(group.fed)
