"""The figures of all partitions, whoever counts them: what the changelogs of the tables tell, of each cell the newest. Knows no clock.

A cell is what one partition counted of one metric in one window; of two values the one with the higher source offset holds,
so that what a worker wrote late, because it was frozen, changes nothing.
"""

from collections import defaultdict
from typing import Any, Final

import orjson

from soms.agents.table import OFFSET
from soms.agents.tally import Tally

Cell = tuple[str, int, float, str]
NOTHING: Final = Tally()


class Board:
    """Sums over partitions by table, start of the window (seconds since 1970) and metric, always up to date."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.sums: dict[str, dict[float, dict[str, Tally]]] = defaultdict(lambda: defaultdict(dict))
        self.offsets: dict[int, int] = {}
        self.revision = 0
        self._cells: dict[Cell, tuple[int, Tally]] = {}

    def __len__(self) -> int:
        """How many cells there are."""
        return len(self._cells)

    def take(self, table: str, key: bytes, value: bytes | None) -> None:
        """Take over a record of the changelog of `table`. Raises ValueError for what is none."""
        if value is None:
            return
        (told, (start, _)), found = orjson.loads(key), orjson.loads(value)
        metric, _, partition = told.rpartition("|")
        self._put((table, int(partition), start, metric), found)

    def _put(self, cell: Cell, found: dict[str, Any]) -> None:
        table, partition, start, metric = cell
        offset, before = self._cells.get(cell, (-1, NOTHING))
        if found[OFFSET] <= offset:
            return
        tally = Tally.of(found)
        self._cells[cell] = found[OFFSET], tally
        self.offsets[partition] = max(self.offsets.get(partition, -1), found[OFFSET])
        total = self.sums[table][start].setdefault(metric, Tally())
        total.add(before, -1)
        total.add(tally)
        self.revision += 1

    def at(self, table: str, start: float, metric: str) -> Tally:
        """What all partitions counted of `metric` in the window that begins at `start`."""
        return self.sums[table].get(start, {}).get(metric, NOTHING)

    def sweep(self, table: str, older_than: float) -> None:
        """Forget windows of `table` that began before."""
        old = {start for start in self.sums[table] if start < older_than}
        for start in old:
            del self.sums[table][start]
        if old:
            for cell in [cell for cell in self._cells if cell[0] == table and cell[2] in old]:
                del self._cells[cell]
