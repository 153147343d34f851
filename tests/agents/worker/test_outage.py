"""A database that goes away: events wait for it at their place, however long that takes."""

import signal
import time
from typing import Any

from soms.local import postgres


async def gone(group: Any, until: Any, database: postgres.Postgres) -> None:
    """Take the database away and feed on; wait until that is noticed."""
    await group.feed(["ok"] * 50)
    await until(group.through)
    await database.stop()
    await group.feed(["ok"] * 100)
    await until(lambda: group.told("events wait for what their handler needs"))


async def test_events_wait_for_the_database(group: Any, until: Any, database: postgres.Postgres, effects: Any) -> None:
    """Longer than the watchdog waits for a standstill; none becomes a dead letter; then all take effect."""
    group.variables["WORKER_LIMIT"] = "5"
    worker = await group.start()
    await gone(group, until, database)
    began = time.monotonic()
    await until(lambda: time.monotonic() - began > 8)
    await database.start()
    await until(group.through)

    assert not worker.ended
    assert group.lost() == set()
    assert await effects() == (150, 150)
    assert await group.records(group.dead) == []


async def test_stopping_while_the_database_is_away(group: Any, until: Any, database: postgres.Postgres, effects: Any) -> None:
    """What waits is abandoned and comes again to the next worker."""
    worker = await group.start()
    await gone(group, until, database)
    worker.process.send_signal(signal.SIGTERM)
    assert await worker.wait() == 0
    await database.start()
    await group.start()
    await until(group.through)

    assert await effects() == (150, 150)
    assert await group.records(group.dead) == []
