"""A Faust table whose values say up to which source offset they count, so that whatever is read twice counts once.

In memory, for windows: few live keys, each with the partition in it (`metric|partition`), so that one worker at a time writes it.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Any, cast

import faust
import orjson
from aiokafka.structs import ConsumerRecord
from faust.exceptions import PartitionsMismatch
from faust.types import TP, EventT
from faust.types.tuples import FutureMessage
from mode.utils.times import want_seconds

from soms.agents.strict import FAUST, StrictConsumer

OFFSET = "o"
Value = dict[str, Any]


class FencedTable(faust.Table[Any, Value]):
    """Values are `{"o": source offset, ...}`; of two in the changelog the one with the higher offset holds, whenever it was written.

    Stock lets a worker that was frozen past its session turn a window back, and replays its own writes at every rebalance.
    """

    logger = FAUST

    def fold(self, window: Any, metric: str, update: Callable[[Value], Value]) -> bool:
        """Apply the event under way to `metric` in its window once; False for one that counts already.

        `update` gets the value so far, at first an empty one, and gives the next. It must not await.
        """
        event = faust.current_event()
        if event is None:
            raise LookupError("no event is under way in this task")
        message, key = event.message, f"{metric}|{event.message.partition}"
        before = window[key].current() or {}
        if before and message.offset <= before[OFFSET]:
            return False
        window[key] = {**update(before), OFFSET: message.offset}
        return True

    def fold_all(
        self, told: Mapping[tuple[str, float], Sequence[tuple[int, Any]]], update: Callable[[Value, Sequence[Any]], Value]
    ) -> None:
        """Apply what events of the partition under way tell of metrics at times: each value is written once, with the last source offset.

        `told` gives, by metric and start of a window, pairs of source offset and content, oldest first; `update` gets the value so
        far and the contents that do not count yet, and gives the next. Where it raises, nothing is written.
        """
        event = faust.current_event()
        if event is None or self.window is None:
            raise LookupError("no event is under way in this task, or the table has no windows")
        values, fresh = self._memory[0], dict[Any, Value]()
        for (metric, start), contents in told.items():
            key = (f"{metric}|{event.message.partition}", self.window.current(start))
            before = values.get(key, {})
            if new := [content for offset, content in contents if offset > before.get(OFFSET, -1)]:
                fresh[key] = {**update(before, new), OFFSET: contents[-1][0]}
        for key, value in fresh.items():
            self[key] = value

    def value(self, metric: str, partition: int, time: float) -> Value:
        """What counts so far of `metric` at a time; empty at first."""
        if self.window is None:
            raise LookupError("the table has no windows")
        return self._memory[0].get((f"{metric}|{partition}", self.window.current(time)), {})

    def sweep(self, older_than: float) -> None:
        """Forget windows that ended before `older_than` (seconds since 1970). The changelog forgets by its own retention."""
        values, partitions = self._memory
        for key in [key for key in values if key[1][1] < older_than]:
            del values[key]
            partitions.pop(key, None)

    @property
    def _memory(self) -> tuple[MutableMapping[Any, Value], MutableMapping[Any, int | None]]:
        """Values and partitions by key, past what notes every change in the changelog."""
        return self.data.data, self.data._key_partition  # type: ignore[attr-defined] # noqa: SLF001 - there is no other way

    def restore(self, partition: int, records: Iterable[ConsumerRecord]) -> None:
        """Take over what lies in the changelog of a partition, never back to a lower offset, and no window that is not kept any more."""
        values, partitions = self._memory
        expires = want_seconds(self.window.expires) if self.window and self.window.expires else None
        oldest = time.time() - expires if expires else None
        for record in records:
            key = self._to_key(orjson.loads(record.key))
            if oldest is not None and key[1][1] < oldest:
                continue
            value = orjson.loads(record.value) if record.value is not None else None
            if value is None:
                values.pop(key, None)
                partitions.pop(key, None)
            elif value[OFFSET] >= values.get(key, value)[OFFSET]:
                values[key], partitions[key] = value, partition

    def apply_changelog_batch(self, batch: Iterable[EventT[Any]]) -> None:
        """Take over what the changelog tells, never back to a lower offset."""
        values, best = self._memory[0], dict[Any, Value]()
        kept = []
        for event in batch:
            key, value = self._to_key(event.key), event.value
            if isinstance(value, dict) and OFFSET in value:
                before = best.get(key) or values.get(key)
                if before and before[OFFSET] > value[OFFSET]:
                    continue
                best[key] = value
            kept.append(event)
        super().apply_changelog_batch(kept)

    @property
    def settings(self) -> dict[str, str]:
        """Kafka's settings of the changelog."""
        return {name: str(value) for name, value in (self.extra_topic_configs or {}).items()}

    def _verify_source_topic_partitions(self, source_topic: str) -> None:
        """Raises PartitionsMismatch where the partition under way came without its changelog, so that nothing of it was restored.

        Stock compares numbers of partitions once, and says nothing of a worker that was told of the changelog after it was assigned.
        """
        event = faust.current_event()
        place = TP(self._changelog_topic_name(), event.message.partition if event else -1)
        if not self.app.assignor.is_active(place):
            raise PartitionsMismatch(f"{source_topic} came without {place.topic}, partition {place.partition}")

    def send_changelog(self, partition: int | None, key: Any, value: Any, *args: Any, **kwargs: Any) -> FutureMessage:
        """Write to the changelog. Offsets are committed after it, and the key goes when its partition goes."""
        self._memory[1][key] = partition
        sending = super().send_changelog(partition, key, value, *args, **kwargs)
        self._unsent.add(sending)
        sending.add_done_callback(self._confirm)
        return sending

    @property
    def _unsent(self) -> set[asyncio.Future[Any]]:
        return cast("StrictConsumer", self.app.consumer).unsent

    def _confirm(self, sending: FutureMessage) -> None:
        """Note that a write has arrived. One that failed stays unsent, so that no commit passes over it; stock only logs it."""
        if error := sending.exception():  # the table and its changelog part company: stop, and read the changelog again
            self._crashing = asyncio.ensure_future(self.app.crash(error))
        else:
            self._unsent.discard(sending)

    def _on_changelog_sent(self, fut: FutureMessage) -> None:
        sent = fut.result()
        read = self.app.tables.recovery.active_offsets  # type: ignore[attr-defined]
        if read.get(sent.topic_partition) is not None:
            read[sent.topic_partition] = max(read[sent.topic_partition], sent.offset)

    def _maybe_set_key_ttl(self, key: Any, partition: int) -> None:
        """Nothing: stock keeps an entry for each update, and none of what it recovers. `sweep` does it."""
