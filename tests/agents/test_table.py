"""What a table writes is certain before a commit, and what it takes back is still of use. No broker: writes fail or arrive as told."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest
from aiokafka.errors import KafkaTimeoutError
from faust.tables.base import Collection
from faust.transport.drivers.aiokafka import Consumer

from soms.agents.strict import StrictConsumer
from soms.agents.table import FencedTable

HOUR = 3600


@pytest.fixture
def crashes() -> list[BaseException]:
    """What the worker crashed of."""
    return []


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> StrictConsumer:
    """One whose broker takes every commit."""

    async def commit(*_: Any) -> bool:
        return True

    monkeypatch.setattr(Consumer, "_commit_offsets", commit)
    made = StrictConsumer.__new__(StrictConsumer)
    made.unsent, made._committed_offset = set(), cast("Any", {"place": 3})
    return made


@pytest.fixture
def table(consumer: StrictConsumer, crashes: list[BaseException], monkeypatch: pytest.MonkeyPatch) -> FencedTable:
    """A table of windows that are kept for an hour."""

    async def crash(error: BaseException) -> None:
        crashes.append(error)

    made = FencedTable.__new__(FencedTable)
    made.app = cast("Any", SimpleNamespace(consumer=consumer, crash=crash))
    made.window = cast("Any", SimpleNamespace(expires=HOUR))
    made._data = cast("Any", SimpleNamespace(data={}, _key_partition={}))
    monkeypatch.setattr(Collection, "send_changelog", lambda *_: asyncio.get_running_loop().create_future())
    return made


@pytest.mark.parametrize("fails", [False, True])
async def test_no_commit_passes_over_a_write_that_failed(
    table: FencedTable, consumer: StrictConsumer, crashes: list[BaseException], *, fails: bool
) -> None:
    """It waits for what was written; what did not arrive ends the worker, and what it rests on comes again."""
    writing = table.send_changelog(0, "key", {"o": 1})
    committing = asyncio.create_task(consumer._commit_offsets(cast("Any", {"place": 9})))
    await asyncio.sleep(0)
    assert not committing.done()
    if fails:
        writing.set_exception(KafkaTimeoutError())
    else:
        writing.set_result(cast("Any", None))

    assert await committing is not fails
    assert [type(error) for error in crashes] == [KafkaTimeoutError] * fails
    assert consumer._committed_offset == {"place": 3}


async def test_what_is_not_kept_is_not_taken_back(table: FencedTable) -> None:
    """A changelog keeps windows longer than they count."""
    now = time.time()
    records = [
        SimpleNamespace(key=orjson.dumps(["all|0", [start, start + 59.9]]), value=orjson.dumps({"o": 1}))
        for start in (now - 2 * HOUR, now - 60)
    ]
    table.restore(0, cast("Any", records))

    assert [start for _, (start, _) in table._memory[0]] == [now - 60]
