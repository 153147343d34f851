"""Dead letters of notifications that were given up, on a real database."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from soms.agents.burial import Burial
from soms.agents.delivery import Delivery
from soms.errors import FailedPrecondition
from soms.models import notification_queue as queue
from soms.models.database import fetch
from soms.models.notification_queue import Due

Eventually = Callable[[Callable[[], Awaitable[object]]], Awaitable[None]]


async def test_what_is_given_up_is_buried(database: None, add: Any, carrying: Any, states: Any) -> None:
    """A refusal is final: a dead letter that names the notification and the reason, and never what it said; once."""
    letters: list[Any] = []

    async def refuse(_: Due) -> str:
        raise FailedPrecondition("550 unknown")

    async def put(*letter: Any) -> None:
        letters.append(letter)

    await add(2)
    burial = Burial(put)
    await Delivery(carrying(refuse), burial.pulse.soon).run_once()
    assert burial.pulse._soon.is_set()
    await burial.run_once()
    await burial.run_once()
    rows = await fetch("notifications", "select id::text from notification order by id")
    key, value, headers = letters[0]

    assert await states() == {"failed": 2}
    assert sorted(letter[0].decode() for letter in letters) == [row["id"] for row in rows]
    assert dict(headers) | {"ce_id": b"", "ce_time": b""} == {
        "ce_specversion": b"1.0",
        "ce_id": b"",
        "ce_type": b"soms.notification.failed.v1",
        "ce_source": b"/soms/notification",
        "ce_time": b"",
        "content-type": b"application/json",
        "dlq_reason": b"delivery_failed",
        "dlq_error": b"550 unknown",
        "dlq_attempts": b"1",
    }
    assert key.decode() in value.decode()
    assert "Blue mug" not in value.decode()


async def test_a_letter_that_is_not_taken_is_written_again(database: None, add: Any, carrying: Any) -> None:
    """While the broker is away, what was given up waits for its letter."""

    async def refuse(_: Due) -> str:
        raise FailedPrecondition("550 unknown")

    async def lose(*_: Any) -> None:
        raise TimeoutError

    await add()
    await Delivery(carrying(refuse), lambda: None).run_once()
    with pytest.raises(TimeoutError):
        await Burial(lose).run_once()
    assert len(await queue.unburied(10)) == 1
