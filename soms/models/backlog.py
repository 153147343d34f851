"""What waits in an outbox, for people, and how to have published events sent again."""

import datetime as dt
from collections.abc import Iterator
from typing import Final, NamedTuple

from soms.models.database import fetch, transaction

# as many of the newest rows as are asked when they were published, for there is no index that would know
NEWEST: Final = 100_000
SPAN: Final = 50_000
STUCK_LIMIT: Final = 20
WAITING: Final = (
    "select count(*) as waiting, extract(epoch from now() - min(created_at))::float as oldest from outbox where published_at is null"
)
LAST_MINUTE: Final = f"""
select count(*) as published from (select published_at from outbox order by id desc limit {NEWEST}) as newest
 where published_at > now() - interval '1 minute'
"""
# a key whose events wait although some that were written half a minute later are published
STUCK: Final = f"""
select key, count(*) as waiting, min(created_at) as since from outbox
 where published_at is null and created_at < (
   select max(published_at) from (select published_at from outbox order by id desc limit 1000) as newest) - interval '30 seconds'
 group by key order by since limit {STUCK_LIMIT}
"""
BOUNDS: Final = "select min(id) as first, max(id) as last from outbox"
CHOSEN: Final = """
id between $1 and $2 and published_at is not null and ($3::timestamptz is null or created_at >= $3)
   and ($4::text is null or topic = $4) and ($5::text is null or key = $5)
"""
COUNT: Final = f"select count(*) as number from outbox where {CHOSEN}"
REDRIVE: Final = f"""
with again as (update outbox set published_at = null where {CHOSEN} returning 1) select count(*) as number from again
"""


class Stuck(NamedTuple):
    """A key whose events wait while those of others go."""

    key: str
    waiting: int
    since: dt.datetime


class State(NamedTuple):
    """An outbox at a glance; the age in seconds, None with nothing that waits."""

    waiting: int
    oldest_seconds: float | None
    published_last_minute: int
    stuck: list[Stuck]


class Choice(NamedTuple):
    """Which published events are meant: written at or after `since`, of `topic`, of `key`; None means any."""

    since: dt.datetime | None = None
    topic: str | None = None
    key: str | None = None


async def state(schema: str) -> State:
    """How the outbox of `schema` is."""
    (waiting,), (minute,) = await fetch(schema, WAITING), await fetch(schema, LAST_MINUTE)
    stuck = [Stuck(*row) for row in await fetch(schema, STUCK)]
    return State(waiting["waiting"], waiting["oldest"], minute["published"], stuck)


async def count(schema: str, choice: Choice) -> int:
    """How many events `redrive` would send again."""
    return sum([await _number(schema, COUNT, span, choice) for span in await _spans(schema)])


async def redrive(schema: str, choice: Choice) -> int:
    """Have the relay send these events again, in their order; how many they are.

    All of them or none: were the earlier events of a key marked after the later, they would arrive after them in an emptied topic,
    as what the relay is sending at that moment may.
    """
    async with transaction(schema):
        return sum([await _number(schema, REDRIVE, span, choice) for span in await _spans(schema)])


async def _spans(schema: str) -> Iterator[tuple[int, int]]:
    """Ranges of ids that one statement gets through within its time limit."""
    (bounds,) = await fetch(schema, BOUNDS)
    first, last = bounds["first"] or 1, bounds["last"] or 0
    return ((start, start + SPAN - 1) for start in range(first, last + 1, SPAN))


async def _number(schema: str, statement: str, span: tuple[int, int], choice: Choice) -> int:
    (row,) = await fetch(schema, statement, *span, *choice)
    return int(row["number"])
