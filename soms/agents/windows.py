"""Live windows: what the order events of a partition add to its minutes and hours, each event once. Knows no Kafka and no HTTP.

A value is `{"o": source offset, "each": {name: tally}}`. Beside a minute lie pages with the ids of what it counts: an event that was
told twice lies at two offsets, and the fence of the table alone would count it twice. Pages are short, as a value is written as a whole.
"""

import base64
import struct
import time
import zlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias, TypeVar

from prometheus_client import Counter

from soms.agents.app import App
from soms.agents.board import EACH
from soms.agents.figures import FIGURES
from soms.agents.live import ALL, COUNTRY, HOUR, HOURS, MINUTE, MINUTES, PRODUCT
from soms.agents.table import OFFSET, FencedTable, Value
from soms.agents.tally import Tally
from soms.envelope import Envelope
from soms.events import OrderCancelled, OrderEvent, OrderPlaced, OrderReturned
from soms.past import SLACK

# of `today`, with the hour that a day may be longer
KEPT: Final = {MINUTES: 26 * HOUR, HOURS: 3 * HOUR}
AHEAD_SECONDS: Final = SLACK.total_seconds()
IDS: Final = "ids"
# products share values, so that an order of many lines is no more than a few writes, and live keys do not grow with the catalogue
BUCKETS: Final = 64
# in a page of a minute of a partition; of more pages than these the oldest is written over
PAGE: Final = 128
PAGES: Final = 64
# in a bucket of an hour: a value has to fit into a record
MOST_NAMES: Final = 500
# of an order, in minor units: JSON has exact numbers up to there, and sums of many such fit into a record
MOST_MONEY: Final = 1 << 53
PAIR: Final = struct.Struct("<QQ")
LEFT_OUT: Final = Counter("soms_live_left_out", "Events, or products of events, that live windows do not count", ["why"], registry=FIGURES)


class Fact(NamedTuple):
    """What one event adds: in all, and by product and country."""

    id: int
    time: float
    whole: Tally
    parts: Mapping[str, Tally]


# the id of an event that counts, and its source offset
Entry: TypeAlias = tuple[int, int]
# what an event adds under a name
Part: TypeAlias = tuple[str, Tally]
# by key and start of a window: source offsets, and what is to be noted or counted
Content = TypeVar("Content")
Told: TypeAlias = dict[tuple[str, float], list[tuple[int, Content]]]


@dataclass
class Known:
    """The ids that a minute of a partition counts."""

    # of each, where it first lay
    first: dict[int, int]
    # the page under way and how many ids it has
    page: int
    filled: int
    # it and the next one, as they were last seen
    seen: tuple[str, str] = ("", "")


class Windows:
    """The tables of a worker, and what its events do to them."""

    def __init__(self, app: App) -> None:
        """Have tables `minutes` and `hours` in `app`."""
        self._known: dict[tuple[int, float], Known] = {}
        self.tables = {MINUTES: _table(app, MINUTES, MINUTE), HOURS: _table(app, HOURS, HOUR)}

    def read(self, found: Envelope, moment: float) -> Fact | None:
        """What counts of an event: orders placed, called off, and returned as a whole, of now and of this shop."""
        event = found.event
        if not isinstance(event, OrderPlaced | OrderCancelled | OrderReturned) or event.external_number is not None:
            return None
        if isinstance(event, OrderReturned) and event.status != "returned":
            return None
        now = time.time()
        if not now - KEPT[MINUTES] < moment <= now + AHEAD_SECONDS:
            LEFT_OUT.labels("late" if moment < now else "future").inc()
            return None
        if abs(event.total) > MOST_MONEY or any(abs(line.quantity * line.unit_price) > MOST_MONEY for line in event.lines):
            LEFT_OUT.labels("money").inc()
            return None
        return Fact(int.from_bytes(found.id.bytes[8:]), moment, _whole(event), _parts(event))

    def fold(self, partition: int, told: Sequence[tuple[int, Fact]]) -> None:
        """Count facts of a partition."""
        known: dict[float, Known] = {}
        pages: Told[Entry] = defaultdict(list)
        minutes: Told[Part] = defaultdict(list)
        hours: Told[Part] = defaultdict(list)
        for offset, fact in told:
            start = fact.time // MINUTE * MINUTE
            ids = known[start] if start in known else known.setdefault(start, self._ids(partition, start))
            first = ids.first.get(fact.id)
            # what comes again counts again where it is not yet written; what was told twice does not
            if first is not None and first < offset:
                continue
            if first is None:
                pages[_note(ids, fact.id, offset), start].append((offset, (fact.id, offset)))
            minutes[ALL, start].append((offset, (ALL, fact.whole)))
            for part in fact.parts.items():
                hours[_bucket(part[0]) if part[0].startswith(PRODUCT) else COUNTRY, fact.time // HOUR * HOUR].append((offset, part))
        try:
            self.tables[MINUTES].fold_all(pages, _noted)
            self.tables[MINUTES].fold_all(minutes, _counted)
        except BaseException:
            self._known.clear()  # has ids that are not written
            raise
        for start, ids in known.items():
            ids.seen = self._seen(partition, start, ids.page)
        self.tables[HOURS].fold_all(hours, _counted)

    def _ids(self, partition: int, start: float) -> Known:
        """The ids that a minute counts; read once, as long as nobody else writes."""
        known = self._known.get((partition, start))
        if known is None or known.seen != self._seen(partition, start, known.page):
            known = self._known[partition, start] = self._read_ids(partition, start)
        return known

    def _read_ids(self, partition: int, start: float) -> Known:
        """From the pages, the last written last."""
        values = [(value[OFFSET], page, value[IDS]) for page in range(PAGES) if (value := self._page(partition, start, page))]
        known = Known({}, 0, 0)
        for _, page, packed in sorted(values):
            pairs = list(PAIR.iter_unpack(base64.b64decode(packed)))
            for number, offset in pairs:
                known.first.setdefault(number, offset)
            known.page, known.filled = page, len(pairs)
        known.seen = self._seen(partition, start, known.page)
        return known

    def _seen(self, partition: int, start: float, page: int) -> tuple[str, str]:
        now, after = (self._page(partition, start, one % PAGES).get(IDS, "") for one in (page, page + 1))
        return now, after

    def _page(self, partition: int, start: float, page: int) -> Value:
        return self.tables[MINUTES].value(f"{IDS}:{page}", partition, start)

    def sweep(self) -> None:
        """Forget windows that nobody asks for any more."""
        self._known.clear()
        for name, table in self.tables.items():
            table.sweep(time.time() - KEPT[name])


def changelog(app: App, name: str) -> str:
    """The topic to which table `name` writes its values."""
    return f"{app.conf.id}-{name}-changelog"


def _table(app: App, name: str, seconds: int) -> FencedTable:
    kept = KEPT[name]
    topic = {
        "cleanup.policy": "compact,delete",
        # what a longer outage leaves behind is forgotten
        "retention.ms": str(4 * kept * 1000),
        "segment.ms": str(kept * 250),
        "segment.bytes": str(16 << 20),
        "min.cleanable.dirty.ratio": "0.1",
        # longer than a worker may be frozen and write late
        "min.compaction.lag.ms": "120000",
    }
    table: FencedTable = app.Table(name, default=dict, extra_topic_configs=topic)  # type: ignore[assignment]
    table.tumbling(float(seconds), expires=float(kept))
    return table


def _whole(event: OrderEvent) -> Tally:
    if isinstance(event, OrderPlaced):
        return Tally(1, sum(line.quantity for line in event.lines), revenue={event.currency: event.total})
    undone = {event.currency: -event.total}
    return Tally(cancelled=1, revenue=undone) if isinstance(event, OrderCancelled) else Tally(returned=1, revenue=undone)


def _parts(event: OrderEvent) -> Mapping[str, Tally]:
    """By product and by country."""
    parts = {f"{COUNTRY}{event.country or ''}": _whole(event)}
    placed = isinstance(event, OrderPlaced)
    for line in event.lines:
        part = parts.setdefault(f"{PRODUCT}{line.sku}", Tally(int(placed), name=line.name))
        part.units += line.quantity * placed
        amount = line.quantity * line.unit_price
        part.revenue[event.currency] = part.revenue.get(event.currency, 0) + (amount if placed else -amount)
    return parts


def _bucket(name: str) -> str:
    return f"{PRODUCT}{zlib.crc32(name.encode()) % BUCKETS}"


def _counted(before: Value, told: Sequence[Part]) -> Value:
    """A window with more in it. What there is no room for is left out, and counted as such."""
    each, sums = dict(before.get(EACH, {})), dict[str, Tally]()
    for name, tally in told:
        if name not in sums:
            if name not in each and len(each) + len(sums) >= MOST_NAMES:
                LEFT_OUT.labels("room").inc()
                continue
            sums[name] = Tally.of(each.get(name, {}))
        sums[name].add(tally)
    return {EACH: each | {name: tally.value for name, tally in sums.items()}}


def _note(known: Known, number: int, offset: int) -> str:
    """Note an id; gives the key of the page on which it is to be written."""
    if known.filled >= PAGE:
        known.page, known.filled = (known.page + 1) % PAGES, 0
    known.first[number], known.filled = offset, known.filled + 1
    return f"{IDS}:{known.page}"


def _noted(before: Value, told: Sequence[Entry]) -> Value:
    """A page with more ids on it."""
    packed = base64.b64decode(before.get(IDS, "")) + b"".join(PAIR.pack(*entry) for entry in told)
    return {EACH: {}, IDS: base64.b64encode(packed[-PAGE * PAIR.size :]).decode()}
