"""The figures of all partitions, whoever counts them: what the changelogs of the tables tell, of each cell the newest. Knows no clock.

A cell is what one partition counted under one key in one window; of two values the one with the higher source offset holds,
so that what a worker wrote late, because it was frozen, changes nothing.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import orjson

from soms.agents.table import OFFSET
from soms.agents.tally import Tally
from soms.errors import InvalidArgument

EACH: Final = "each"
Each = Mapping[str, Mapping[str, Any]]
Sums = dict[str, Tally]


class Board:
    """Sums over partitions by table, start of the window (seconds since 1970) and name, always up to date."""

    def __init__(self) -> None:
        """Start with nothing."""
        # up to which source offset each partition counts
        self.offsets: dict[int, int] = {}
        self.revision = 0
        self._sums: dict[str, dict[float, Sums]] = defaultdict(lambda: defaultdict(dict))
        self._cells: dict[str, dict[float, dict[str, tuple[int, Each]]]] = defaultdict(lambda: defaultdict(dict))

    def __len__(self) -> int:
        """How many cells there are."""
        return sum(len(cells) for windows in self._cells.values() for cells in windows.values())

    def take(self, table: str, key: bytes, value: bytes | None) -> None:
        """Take over a record of the changelog of `table`. Raises InvalidArgument for what is none."""
        if value is None:
            return
        try:
            (name, (start, _)), found = orjson.loads(key), orjson.loads(value)
            partition, offset, each = int(name.rpartition("|")[2]), found[OFFSET], found[EACH]
        except (ValueError, KeyError, TypeError) as cause:
            raise InvalidArgument(f"a record of {table} that is none of ours", reason="unreadable") from cause
        cells = self._cells[table][start]
        last, before = cells.get(name, (-1, {}))
        if offset > last:
            cells[name] = offset, each
            self.offsets[partition] = max(self.offsets.get(partition, -1), offset)
            self.revision += 1
            _move(self._sums[table][start], before, each)

    def sums(self, table: str, start: float) -> Mapping[str, Tally]:
        """What all partitions counted in the window that begins at `start`, by name."""
        return self._sums[table].get(start, {})

    def sweep(self, table: str, older_than: float) -> None:
        """Forget windows of `table` that began before."""
        for start in [start for start in self._cells[table] if start < older_than]:
            del self._cells[table][start], self._sums[table][start]


def _move(sums: Sums, before: Each, after: Each) -> None:
    """Take the tallies of a cell from what they were to what they are."""
    for name, value in after.items():
        if value != (old := before.get(name)):
            total = sums.setdefault(name, Tally())
            if old:
                total.add(Tally.of(old), -1)
            total.add(Tally.of(value))
