"""The relay: `python -m soms.agents.relay`. Carries what the services wrote to their outboxes to Kafka, at least once, in order per key.

One relay at a time per schema, by an advisory lock; any number may run, the others wait. Whatever fails, session and producer are
closed and made anew, and any relay may be the next. Two may overlap for a moment: the old one has lost its turn while what it sent is
still on its way. Then events arrive twice, but never one before an earlier one of its key: see `producer`.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final

from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from soms.agents.process import Vitals, serve
from soms.agents.producer import Outcome, Producer, Row
from soms.config import Settings
from soms.errors import FailedPrecondition, Unavailable
from soms.models.outlet import BATCH, OUTBOXES, Outlet
from soms.pulse import Pulse

log = logging.getLogger(__name__)

POLL_SECONDS: Final = 1.0
# who tells of what is in a schema, where its name is not the plural of theirs
SERVICES: Final = {"analytics": "analytics"}
# what comes within it shares a round, so that a busy outbox costs twenty rounds a second and not one for each event
GAP_SECONDS: Final = 0.05
# shorter than the silence that costs a session its turn
SEND_SECONDS: Final = 6.0
HOLD_SECONDS: Final = 10.0
HELD_LIMIT: Final = 10_000
PAGES: Final = 10
PRUNE_SECONDS: Final = 60.0
LEAVE_SECONDS: Final = 5.0


class Figures:
    """What the relay counts, for Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Start at zero."""
        self.published = Counter("soms_relay_published", "Events that Kafka acknowledged", ["schema"], registry=registry)
        self.seconds = Histogram("soms_relay_seconds", "Seconds from writing to acknowledgement", ["schema"], registry=registry)
        self.held = Gauge("soms_relay_held_keys", "Keys that are held back after a failure", ["schema"], registry=registry)
        self.active = Gauge("soms_relay_active", "1 where this relay has the turn", ["schema"], registry=registry)


class Relay:
    """Empties the outbox of one schema whenever it is its turn."""

    def __init__(self, settings: Settings, schema: str, figures: Figures) -> None:
        """Needs Kafka's address in `settings`."""
        self._schema, self._figures = schema, figures
        self.pulse = Pulse(f"relaying {schema}", self.run_once, POLL_SECONDS, gap_seconds=GAP_SECONDS, finish=self._close)
        self._outlet = Outlet(settings, schema, self.pulse.soon)
        self._producer = Producer(settings.kafka or "", f"/soms/{SERVICES.get(schema, schema[:-1])}")
        self._held: set[str] = set()
        self._held_until = self._prune_at = 0.0
        self._one_by_one = False
        self.beats = 0

    async def run_once(self) -> None:
        """Empty the outbox, or ask for the turn in vain; after a failure start afresh with nothing in hand."""
        try:
            active = await self._outlet.turn()
            self._figures.active.labels(self._schema).set(active)
            if active:
                await self._empty()
                await self._prune()
        except BaseException:
            await self._close()
            raise
        self.beats += 1

    async def _empty(self) -> None:
        if time.monotonic() > self._held_until:
            self._held.clear()
        for _ in range(PAGES):
            if len(self._held) > HELD_LIMIT:
                return
            rows = await self._outlet.waiting(self._held)
            if rows:
                await self._page(rows)
            if len(rows) < BATCH:
                break
        if rows or not self._outlet.resting:
            self.pulse.soon()

    async def _page(self, rows: Sequence[Row]) -> None:
        """Send, then mark; marked is only what was acknowledged."""
        outcome = Outcome()
        failure = await self._send(rows, outcome)
        await self._outlet.published(outcome.published)
        self._count(rows, outcome)
        self._one_by_one = outcome.doubtful
        if failure and not outcome.published:
            raise failure
        if failure or outcome.refused or outcome.doubtful:
            await self._producer.close()
            self._hold(set(outcome.refused) | ({row["key"] for row in _left(rows, outcome)} if failure else set()))
        for key, reason in outcome.refused.items():
            log.error("events of key %s wait: %s", key, reason)

    async def _send(self, rows: Sequence[Row], outcome: Outcome) -> Exception | None:
        """What came in the way, if anything; ends at once when the turn is lost."""
        try:
            async with asyncio.timeout(SEND_SECONDS) as limit:
                with self._outlet.lost(lambda: limit.reschedule(0)):
                    await self._producer.send(rows, outcome, one_by_one=self._one_by_one)
        except TimeoutError:
            return Unavailable(f"no acknowledgement from Kafka within {SEND_SECONDS:g} s, or the turn is lost")
        except (KafkaError, OSError) as error:
            return error
        return None

    def _hold(self, keys: set[str]) -> None:
        """Let later events of these keys wait behind the one that failed, and the others go on."""
        if not self._held:
            self._held_until = time.monotonic() + HOLD_SECONDS
        self._held |= keys
        self._figures.held.labels(self._schema).set(len(self._held))

    def _count(self, rows: Sequence[Row], outcome: Outcome) -> None:
        self._figures.published.labels(self._schema).inc(len(outcome.published))
        published, now = set(outcome.published), time.time()
        for row in rows:
            if row["id"] in published:
                self._figures.seconds.labels(self._schema).observe(max(0.0, now - row["created_at"].timestamp()))

    async def _prune(self) -> None:
        if time.monotonic() > self._prune_at and not await self._outlet.prune():
            self._prune_at = time.monotonic() + PRUNE_SECONDS

    async def _close(self) -> None:
        self._figures.active.labels(self._schema).set(0)
        await self._producer.close()
        await self._outlet.close()


def _left(rows: Sequence[Row], outcome: Outcome) -> Iterator[Row]:
    published = set(outcome.published)
    return (row for row in rows if row["id"] not in published)


@contextlib.asynccontextmanager
async def relaying(settings: Settings) -> AsyncIterator[Vitals]:
    """A relay for each outbox, for the length of a block."""
    if not settings.kafka:
        raise FailedPrecondition("no Kafka: start the engines (`soms engines`, `soms up`) or set SOMS_KAFKA")
    vitals = Vitals()
    figures = Figures(vitals.registry)
    relays = {schema: Relay(settings, schema, figures) for schema in OUTBOXES}
    vitals.states = lambda: {schema: relay.beats > 0 and not relay.pulse.failures for schema, relay in relays.items()}
    async with contextlib.AsyncExitStack() as stack:
        for relay in relays.values():
            await stack.enter_async_context(relay.pulse.running(LEAVE_SECONDS))
        yield vitals


if __name__ == "__main__":
    serve("relay", relaying)
