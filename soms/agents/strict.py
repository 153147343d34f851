"""Faust's consumer without its losses: it commits only what is finished, and fetches nothing that it would throw away.

Overrides private parts of the pinned versions; a test compares their text. Knows no event and no handler: those finish or abandon messages.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from faust.types.transports import TPorTopicSet
from faust.types.tuples import ConsumerMessage

# less than the broker waits for a member in a rebalance, more than an attempt of a handler may take
DRAIN_SECONDS: Final = 8.0
COMMIT_SECONDS: Final = 3.0
# While it looks for a broker that is away aiokafka does not close, or raises the cancellation of a task of its own.
CLOSE_SECONDS: Final = 2.0
# A rebalance waits for the fetch under way.
FETCH_SECONDS: Final = 0.25
UNSENT_SECONDS: Final = 5.0
# its services log by the name of their module; under a name of ours their every step would be told
FAUST: Final = logging.getLogger("faust")


class Batch(ConsumerMessage):
    """All records of a partition that a fetch brought, on their way as one message at the place of the first."""

    def __init__(self, tp: TP, records: Sequence[ConsumerRecord], generation_id: int) -> None:
        """Of at least one record."""
        first = records[0]
        super().__init__(
            *tp, first.offset, first.timestamp / 1000, first.timestamp_type, None, None, None, None, tp=tp, generation_id=generation_id
        )
        self.records = records


class StrictConsumer(driver.Consumer):
    """Commits up to the lowest message that was delivered and is not finished; stock guesses from lists of what was acknowledged."""

    logger = FAUST

    def __init__(self, transport: Any, callback: Any, *args: Any, **kwargs: Any) -> None:
        """Stand between the fetcher and `callback`, which delivers."""
        self._deliver = callback
        self._unfinished: dict[TP, dict[int, Message]] = {}
        self._next: dict[TP, int] = {}
        self._in_hand: set[Message] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._turn = asyncio.Lock()
        # set while all that is in hand should come to its end or be abandoned
        self.draining = asyncio.Event()
        # writes to changelogs that the broker has not confirmed
        self.unsent: set[asyncio.Future[Any]] = set()
        # topics that are delivered in batches: Faust's way of a message costs more than to count an event
        self.batched: set[str] = set()
        super().__init__(transport, self._track, *args, **kwargs)

    def _new_consumer_thread(self) -> "StrictThread":
        return StrictThread(self, loop=self.loop, beacon=self.beacon)

    def take(self, message: Message) -> None:
        """A handler has it now; `finish` or `abandon` must follow."""
        self._in_hand.add(message)
        self._idle.clear()

    def finish(self, message: Message) -> None:
        """It is done with and need not come again."""
        if self.holds(message):
            del self._unfinished[message.tp][message.offset]
        self.abandon(message)

    def abandon(self, message: Message) -> None:
        """It is left for whoever reads the partition next."""
        self._in_hand.discard(message)
        if not self._in_hand:
            self._idle.set()

    def holds(self, message: Message) -> bool:
        """Whether it is still ours to finish: False once a rebalance has overtaken its handler."""
        return self._unfinished.get(message.tp, {}).get(message.offset) is message

    async def rewind(self) -> None:
        """Go back to what is committed, or to the beginning. All that was delivered before is void: it comes again.

        Stock does not seek where nothing was ever committed, and what it has fetched of that is lost.
        """
        self.stop_flow()
        async with self._turn:
            self._unfinished.clear()
            self._next.clear()
            await super().perform_seek()
            sources = [tp for tp in self.assignment() if not self._is_changelog_tp(tp)]
            if fresh := [TopicPartition(*tp) for tp in sources if not self._committed_offset[tp]]:
                await self._thread.seek_to_beginning(*fresh)
        self.draining.clear()

    async def perform_seek(self) -> None:
        """Nothing: stock seeks when a fetch ends in a rebalance, beside the seek of the rebalance; ours waits for the fetch."""

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Seek in changelogs, but not under a fetch: what that brings afterwards would be thrown away."""
        async with self._turn:
            await super().seek_wait(partitions)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109 - Faust's signature
        """Fetch and deliver, one at a time with seeking."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow)  # type: ignore[arg-type] # as stock does
        if not self._get_active_partitions():
            await self.sleep(FETCH_SECONDS)
            return
        async with self._turn:
            if self.flow_active:
                async for delivery in super().getmany(min(timeout, FETCH_SECONDS)):
                    yield delivery

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        """Stock hands over its live set; emptied in mid-fetch that means "any" to aiokafka, and what it brings is dropped."""
        found = await super()._getmany(active_partitions and frozenset(active_partitions), timeout)  # type: ignore[arg-type]
        return {tp: [records] if tp.topic in self.batched else records for tp, records in found.items()}

    def _to_message(self, tp: TP, record: ConsumerRecord | list[ConsumerRecord]) -> ConsumerMessage:
        if isinstance(record, list):
            return Batch(tp, record, self.app.consumer_generation_id)
        return super()._to_message(tp, record)

    async def _track(self, message: Message) -> None:
        """Deliver, unless a rebalance has begun since the fetch: what lay before in the partition is void, so a commit would pass over it.

        The rewind at the end of the rebalance brings all of it again.
        """
        if not self.flow_active:
            return
        if self.app.topics.acks_enabled_for(message.topic):
            self._unfinished.setdefault(message.tp, {})[message.offset] = message
            self._next[message.tp] = (message.records[-1] if isinstance(message, Batch) else message).offset + 1
        await self._deliver(message)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: holes (compaction, transactions, retention) are never delivered, so they hold nothing up."""

    def _new_offset(self, tp: TP) -> int | None:
        return next(iter(self._unfinished.get(tp, ())), self._next.get(tp))

    def _filter_tps_with_pending_acks(self, topics: TPorTopicSet | None = None) -> Any:
        return [tp for tp in self._next if topics is None or tp in topics or tp.topic in topics]

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        """Commit after the changelogs have it, as far as they were written by now; stock notes a commit that failed as done."""
        before, writes = {tp: self._committed_offset[tp] for tp in offsets}, set(self.unsent)
        if writes:
            await asyncio.wait(writes, timeout=UNSENT_SECONDS)
        done = not writes & self.unsent and await super()._commit_offsets(offsets, start_new_transaction)
        if not done:
            self._committed_offset.update(before)
        return done

    async def commit_and_end_transactions(self) -> None:
        """Commit what is finished now; stock does nothing when another commit is under way."""
        while await self.maybe_wait_for_commit_to_finish():
            pass
        await super().commit_and_end_transactions()

    async def wait_empty(self) -> None:
        """Let what is in hand come to its end, but not for ever, and commit. Faust asks twice; the second time it has had its time."""
        patience_seconds = 0 if self.draining.is_set() else DRAIN_SECONDS
        self.draining.set()
        try:
            async with asyncio.timeout(patience_seconds):
                await self._idle.wait()
        except TimeoutError:
            self.log.warning("%d messages are not done after %g s and will come again", len(self._in_hand), patience_seconds)
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await self.commit_and_end_transactions()
        except TimeoutError:
            self.log.warning("no commit within %g s: events that are done will come again", COMMIT_SECONDS)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Drain and commit while the partitions are ours; stock forgets first and so commits nothing."""
        self.stop_flow()
        self.app.flow_control.suspend()
        if not self.app.should_stop and (assignment := self.assignment()):
            self.pause_partitions(assignment)
            self.app.flow_control.clear()
            await self.wait_empty()
        for tp in revoked:
            self._unfinished.pop(tp, None)
            self._next.pop(tp, None)
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Let nothing flow before the rewind, be it that there was nothing to revoke."""
        self.stop_flow()
        await super().on_partitions_assigned(assigned, generation_id)


class StrictThread(driver.AIOKafkaConsumerThread):
    """The thread that talks to Kafka; it ends in time."""

    logger = FAUST

    async def on_thread_stop(self) -> None:
        """Close, or give up closing: what is finished was committed before. Stock waits a minute for a thread that died of closing."""
        closing = asyncio.ensure_future(super().on_thread_stop())
        await asyncio.wait([closing], timeout=CLOSE_SECONDS)
        if not closing.done() or closing.cancelled() or closing.exception():
            self.log.warning("left without closing all connections")


class StrictProducer(driver.Producer):
    """Writes without ever waiting for a moment at which nothing is on its way: under steady load there is none."""

    logger = FAUST

    async def flush(self) -> None:
        """Nothing: whoever rests on a write waits for that write, the commit of the strict consumer above all."""


class StrictTransport(driver.Transport):
    """Kafka by the strict consumer and producer."""

    Consumer = StrictConsumer
    Producer = StrictProducer
