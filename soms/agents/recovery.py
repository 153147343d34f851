"""What Faust does after a rebalance, in an order that loses nothing: rewind first, then let events flow. Knows no table's content."""

from typing import Any, cast

from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.types import TP
from faust.types.transports import ConsumerT

from soms.agents.changelog import reread
from soms.agents.strict import FAUST, StrictConsumer
from soms.agents.table import FencedTable


class StrictRecovery(Recovery):
    """Stock lets source partitions flow, then seeks, then clears the queues that they have filled meanwhile."""

    logger = FAUST

    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0) -> None:
        """Forget how far changelogs were read before; where two rebalances overlap, stock keeps that."""
        for tp in newly_assigned:
            self.active_offsets.pop(tp, None)
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    async def _build_offsets(self, consumer: ConsumerT, tps: set[TP], destination: Any, title: str) -> None:
        """Read what is new in the changelogs, so that nothing is left for stock, which reads 7,000 records a second."""
        await super()._build_offsets(consumer, tps, destination, title)
        if title != "active":
            return
        last = self.active_highwaters
        kafka = ",".join(f"{broker.host}:{broker.port}" for broker in self.app.conf.broker_consumer)
        async for tp, records in reread(kafka, {tp: destination[tp] for tp in tps}, last):
            cast("FencedTable", self.tp_to_table[tp]).restore(tp.partition, records)
            destination[tp] = max(destination[tp], records[-1].offset if records else last[tp])

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """The tables are whole: go on."""
        self._set_recovery_ended()
        for table in self.tables.values():
            await table.on_recovery_completed(self.actives_for_table[table], self.standbys_for_table[table])
        await self._resume_streams(generation_id)

    async def _resume_streams(self, generation_id: int = 0) -> None:
        app = self.app
        consumer = cast("StrictConsumer", app.consumer)
        await app.on_rebalance_complete.send()
        if app.consumer_generation_id != generation_id:
            return
        if assignment := consumer.assignment():
            await self._wait(consumer.rewind())
        # clears the queues, so it comes before a source partition may be fetched
        app.flow_control.resume()
        consumer.resume_partitions({tp for tp in assignment if not self._is_changelog_tp(tp)})
        self.completed.set()
        consumer.resume_flow()
        await app._fetcher.maybe_start()  # type: ignore[attr-defined] # noqa: SLF001 - as stock does
        self.tables.on_actives_ready()
        self.tables.on_standbys_ready()
        app.on_rebalance_end()

    async def _wait(self, coro: Any, timeout: Any = None) -> None:  # noqa: ASYNC109 - Faust's signature
        """Wait for a step however long it takes: stock ends recovery after 90 s without a word. `watch` sees whether it gets on."""
        del timeout
        await super()._wait(coro)


class StrictTables(TableManager):
    """The tables of a worker, recovered in the strict order."""

    logger = FAUST

    async def on_start(self) -> None:
        """Without the second that stock waits for nothing."""
        await self._update_channels()
        await self.recovery.start()

    @property
    def recovery(self) -> StrictRecovery:
        """What brings tables back after a rebalance."""
        if self._recovery is None:
            self._recovery = StrictRecovery(self.app, self, beacon=self.beacon, loop=self.loop)
        return cast("StrictRecovery", self._recovery)
