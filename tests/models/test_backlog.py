"""What waits in an outbox, and having published events sent again."""

import datetime as dt
from typing import Any

import pytest

from soms.models import backlog
from soms.models.backlog import Choice, State, count, redrive, state
from soms.models.database import fetch

FILL = """
insert into outbox (type, topic, key, payload, created_at, published_at)
select 'soms.order.paid.v1', case n % 2 when 0 then 'soms.orders' else 'soms.other' end, 'key-' || n % 3, '{}',
       now() - n * interval '1 hour', now() - n * interval '1 hour' + interval '1 second'
  from generate_series(12, 1, -1) as n
"""
WAITING = """
select array_agg(round(extract(epoch from now() - created_at) / 3600)::int order by id) as hours from outbox where published_at is null
"""


@pytest.fixture
async def outbox(database: None) -> None:
    """Twelve published events, one an hour, of two topics and three keys."""
    await fetch("orders", FILL)


async def waiting() -> list[int]:
    """The hours since the events that wait were written, by id."""
    return (await fetch("orders", WAITING))[0]["hours"] or []


async def test_an_empty_outbox(database: None) -> None:
    """Nothing waits, and nothing can be sent again."""
    assert await state("orders") == State(0, None, 0, [])
    assert (await count("orders", Choice()), await redrive("orders", Choice())) == (0, 0)


async def test_state_tells_of_waits_and_of_what_goes(outbox: None) -> None:
    """How many wait and how long the oldest does; what was published within a minute."""
    await fetch("orders", "update outbox set published_at = null where key = 'key-1'")
    await fetch("orders", "update outbox set published_at = now() where key = 'key-2'")
    found = await state("orders")

    assert (found.waiting, found.published_last_minute) == (4, 4)
    assert found.oldest_seconds == pytest.approx(10 * 3600, abs=60)
    assert [(one.key, one.waiting) for one in found.stuck] == [("key-1", 4)]


async def test_a_backlog_is_not_stuck(outbox: None) -> None:
    """While Kafka is away everything waits, and no key more than others."""
    await fetch("orders", "update outbox set published_at = null")

    assert (await state("orders")).stuck == []


@pytest.mark.parametrize("span", [5, 50_000])
@pytest.mark.parametrize(
    ("choice", "hours"),
    [
        ({}, [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ({"hours": 3}, [3, 2, 1]),
        ({"topic": "soms.orders"}, [12, 10, 8, 6, 4, 2]),
        ({"key": "key-1", "topic": "soms.orders"}, [10, 4]),
        ({"key": "key-9"}, []),
    ],
)
async def test_redrive_takes_what_is_meant(
    outbox: None, monkeypatch: pytest.MonkeyPatch, choice: dict[str, Any], hours: list[int], span: int
) -> None:
    """By time, topic and key, in one piece or many; the count beforehand is that of what is done; what waits already is not counted."""
    monkeypatch.setattr(backlog, "SPAN", span)
    since = dt.datetime.now(dt.UTC) - dt.timedelta(hours=choice["hours"], minutes=1) if "hours" in choice else None
    meant = Choice(since, choice.get("topic"), choice.get("key"))
    expected = await count("orders", meant)

    assert expected == await redrive("orders", meant) == len(hours)
    assert await waiting() == hours
    assert await count("orders", meant) == 0
