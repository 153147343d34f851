"""The way out of an outbox, as its relay sees it: taking turns, what waits, what is published, what may go. Knows no Kafka.

One session does all of it, and it holds the turn (an advisory lock): whoever has lost the turn can mark nothing any more, and a
relay that is frozen or cut off for `SILENCE_SECONDS` loses session and turn by the server's own hand.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

import asyncpg

from soms.config import Settings
from soms.models.database import outages, session
from soms.models.migrations.wake import REST

# the schemas that have an outbox
OUTBOXES: Final = ("users", "products", "orders", "analytics")
TURN: Final = 7_236_848
BATCH: Final = 500
BATCH_BYTES: Final = 16 << 20
SILENCE_SECONDS: Final = 10
KEPT: Final = "7 days"
PRUNED: Final = 1000
TAKE: Final = f"select pg_try_advisory_lock({TURN}, 'outbox'::regclass::oid::int)"
LIE_DOWN: Final = f"select pg_try_advisory_lock({REST}, 'outbox'::regclass::oid::int)"
RISE: Final = f"select pg_advisory_unlock({REST}, 'outbox'::regclass::oid::int)"
# Ids are not in the order of commits, so "after the last one seen" would miss what commits late; a flag cannot. No row lock: a row
# that somebody else has locked must be neither skipped, which would let the next one of its key overtake it, nor waited for.
WAITING: Final = f"""
select * from (
  select *, sum(octet_length(payload)) over (order by id) - octet_length(payload) as bytes_before from (
    select id, event_id, type, topic, key, payload, traceparent, created_at from outbox
     where published_at is null and key <> all ($1::text[]) order by id limit {BATCH}) as page) as sized
 where bytes_before < {BATCH_BYTES} order by id
"""
PUBLISHED: Final = "update outbox set published_at = now() where id = any ($1::bigint[]) and published_at is null"
PRUNE: Final = f"""
delete from outbox where id in (
  select id from (select id, published_at from outbox order by id limit {PRUNED}) as oldest where published_at < now() - interval '{KEPT}')
returning id
"""


class Outlet:
    """The outbox of one schema, over a session that is opened where needed. Every method raises Unavailable when the session is lost."""

    def __init__(self, settings: Settings, schema: str, wake: Callable[[], None]) -> None:
        """`wake` is called when something is there after a rest."""
        self._settings, self._schema, self._wake = settings, schema, wake
        self._session: asyncpg.Connection | None = None
        self.active = self.resting = False

    async def turn(self) -> bool:
        """Whether the outbox is ours to empty; where another relay has it, ask again later."""
        if self._session is None:
            with outages():
                self._session = await session(self._settings, self._schema, idle_session_timeout=f"{SILENCE_SECONDS}s")
        if not self.active and await self._value(TAKE):
            with outages():
                await self._open.add_listener(f"{self._schema}_outbox", lambda *_: self._wake())
            self.active = True
        return self.active

    async def waiting(self, held: Collection[str]) -> list[asyncpg.Record]:
        """The oldest events that wait, at most `BATCH` of them and about `BATCH_BYTES`, without those of the keys `held`.

        With none, the outlet rests if it can: then whoever writes the next event wakes it.
        """
        rows = await self._rows(WAITING, list(held))
        if rows and self.resting:
            self.resting = not await self._value(RISE)
        elif not rows and not self.resting and await self._value(LIE_DOWN):
            self.resting = True
            rows = await self._rows(WAITING, list(held))
        return rows

    async def published(self, ids: Sequence[int]) -> None:
        """These are on Kafka."""
        if ids:
            await self._rows(PUBLISHED, ids)

    async def prune(self) -> bool:
        """Drop what was published more than `KEPT` ago, at most `PRUNED` of it; whether there may be more."""
        return len(await self._rows(PRUNE)) == PRUNED

    @contextlib.contextmanager
    def lost(self, tell: Callable[[], None]) -> Iterator[None]:
        """Have `tell` called at once when the session, and with it the turn, is lost within the block."""

        def listener(_: object) -> None:
            tell()

        connection = self._open
        connection.add_termination_listener(listener)
        if connection.is_closed():
            tell()
        try:
            yield
        finally:
            connection.remove_termination_listener(listener)

    async def close(self) -> None:
        """Give the turn back."""
        connection, self._session = self._session, None
        self.active = self.resting = False
        if connection:
            with contextlib.suppress(Exception):  # it may be lost, which is as good
                await connection.close(timeout=1)

    @property
    def _open(self) -> asyncpg.Connection:
        if self._session is None:
            raise ConnectionError("no session")
        return self._session

    async def _rows(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        with outages():
            return list(await self._open.fetch(statement, *arguments))

    async def _value(self, statement: str) -> bool:
        with outages():
            return bool(await self._open.fetchval(statement))
