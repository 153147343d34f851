"""What of an hour, or of a product's day, is unlike other weeks. Pure: figures in, findings out; see `baseline` for the method.

Orders and the value placed are compared with the same hour of other weeks; cancellations with what was ordered and cancelled in the hour;
a product's orders with its share of all orders in four weeks, so that a busy day of the shop is no finding of each product.
"""

import datetime as dt
import functools
import zoneinfo
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import NAMESPACE_OID, UUID, uuid5

from soms.models import baseline
from soms.models.baseline import RARE, WEEKS, Expected, midmean

HOUR: Final = dt.timedelta(hours=1)
WEEK_HOURS: Final = 168
# what `hourly` wants to know, back from its hour
SPAN: Final = dt.timedelta(weeks=WEEKS + 1, days=1)
# a product is known by four weeks, stops in seven days and begins to sell in one
USUAL_DAYS: Final = 28
STILL_DAYS: Final = 7
# the chance, for a day and all products together, that one of them sells so well, or stops, by chance
RARE_SALE: Final = 1 / 1000
RARE_STOP: Final = 1 / 100


class Hour(NamedTuple):
    """What happened in an hour: orders placed and cancelled, and per currency the value placed (minor units) and the sum of its squares."""

    orders: int = 0
    cancelled: int = 0
    value: Mapping[str, int] = {}
    squares: Mapping[str, float] = {}


class Sold(NamedTuple):
    """Orders that a product is in: in the usual days (with sums of their squares and of their products with all orders), then, today."""

    sku: str
    name: str
    usual: int
    squares: int
    crossed: int
    lately: int
    today: int


class Traded(NamedTuple):
    """Orders of the shop: in the usual days (with the sum of their squares), in the last seven days, today."""

    usual: int
    squares: int
    lately: int
    today: int


class Subject(NamedTuple):
    """What is judged: `key` is the currency or SKU."""

    metric: str
    key: str | None
    start: dt.datetime


class Unusual(NamedTuple):
    """A finding: `kind` is `high` or `low`, `key` the currency or SKU, figures in minor units, orders, or parts of one for rates."""

    metric: str
    key: str | None
    start: dt.datetime
    kind: str
    seconds: int
    expected: float
    actual: float
    chance: float
    name: str = ""

    @property
    def id(self) -> UUID:
        """Always the same for metric, key and start."""
        return uuid5(NAMESPACE_OID, f"soms.finding/{self.metric}/{self.key or ''}/{self.start.astimezone(dt.UTC).isoformat()}")


def hourly(hours: Mapping[dt.datetime, Hour], start: dt.datetime, since: dt.datetime, zone: zoneinfo.ZoneInfo) -> list[Unusual]:
    """What is unusual in the hour that begins at `start`; hours that are missing were empty, and none is known before `since`."""
    now = hours.get(start, Hour())
    weeks = [[hours.get(one, Hour()) for one in _same(start - back * HOUR, zone) if one >= since] for back in range(WEEK_HOURS)]
    found = _counted(Subject("orders", None, start), 1, [[hour.orders for hour in week] for week in weeks], now.orders)
    for currency in sorted({currency for week in weeks for hour in week for currency in hour.value} | now.value.keys()):
        worth = sum(hour.value.get(currency, 0) for week in weeks for hour in week)
        piece = baseline.piece(worth, sum(hour.squares.get(currency, 0) for week in weeks for hour in week))
        past = [[hour.value.get(currency, 0) / piece for hour in week] for week in weeks]
        found += _counted(Subject("revenue", currency, start), piece, past, now.value.get(currency, 0)) if worth else []
    return [*found, *_cancelled(weeks, start, now)]


def products(sold: Sequence[Sold], traded: Traded, day: dt.datetime, length: dt.timedelta) -> list[Unusual]:
    """Products that sell on a `day` (its start) as they never did, or that have not sold in seven days, the most surprising first."""
    if not (traded.usual and traded.today):
        return []
    scatter = _scatter(sold, traded)
    found = []
    for one in sold:
        today = baseline.predicted(one.usual, traded.usual, scatter, traded.today)
        lately = baseline.predicted(one.usual, traded.usual, scatter, traded.lately)
        if one.today > today.mean and (chance := today.above(one.today) * len(sold)) < RARE_SALE:
            found.append(Unusual("product", one.sku, day, "high", int(length.total_seconds()), today.mean, one.today, chance, one.name))
        elif not one.lately and (chance := lately.below(0) * len(sold)) < RARE_STOP:
            found.append(Unusual("product", one.sku, day, "low", STILL_DAYS * 86_400, lately.mean, 0, chance, one.name))
    return sorted(found, key=lambda one: one.chance)


@functools.lru_cache(maxsize=4 * WEEK_HOURS)
def _same(start: dt.datetime, zone: zoneinfo.ZoneInfo) -> tuple[dt.datetime, ...]:
    """The same hour on the wall in the weeks before."""
    local = start.astimezone(zone).replace(tzinfo=None)
    weeks = (local - dt.timedelta(weeks=back) for back in range(1, WEEKS + 1))
    return tuple(same.replace(tzinfo=zone).astimezone(dt.UTC).replace(minute=0) for same in weeks)


def _counted(subject: Subject, piece: float, weeks: Sequence[Sequence[float]], actual: float) -> list[Unusual]:
    """The finding of a count in pieces, if it is one; the first of `weeks` are the hours to compare with."""
    scatter = baseline.scatter((count, middle) for week in weeks if week for middle in [midmean(week)] for count in week)
    expected = baseline.expected(weeks[0], scatter)
    return _judged(subject, expected, round(actual / piece), piece, actual) if expected else []


def _cancelled(weeks: Sequence[Sequence[Hour]], start: dt.datetime, now: Hour) -> list[Unusual]:
    """The finding of a rate of cancellations, of what was placed or cancelled in the hour."""
    chances = now.orders + now.cancelled
    past = [(sum(h.cancelled for h in spell), sum(h.orders + h.cancelled for h in spell)) for spell in _days(weeks)]
    cancelled, spells = sum(one for one, _ in past), sum(one for _, one in past)
    if not (chances and spells) or len(weeks[0]) < baseline.FEWEST_WEEKS:
        return []
    scatter = baseline.scatter((count, cancelled / spells * size) for count, size in past)
    expected = baseline.predicted(cancelled, spells, scatter, chances)
    return _judged(Subject("cancellation_rate", None, start), expected, now.cancelled, 1 / chances, now.cancelled / chances)


def _days(weeks: Sequence[Sequence[Hour]]) -> Iterator[list[Hour]]:
    """Spells of 24 hours of one week each."""
    for first in range(0, WEEK_HOURS, 24):
        for week in range(min(map(len, weeks))):
            yield [hours[week] for hours in weeks[first : first + 24]]


def _judged(subject: Subject, expected: Expected, count: int, piece: float, actual: float) -> list[Unusual]:
    """The finding of a count, each of which is a `piece` of what people read."""
    chance = expected.surprise(count)
    kind = "high" if count > expected.mean else "low"
    usual = expected.mean * piece
    return [Unusual(*subject, kind, int(HOUR.total_seconds()), usual, actual, chance)] if chance < RARE else []


def _scatter(sold: Iterable[Sold], traded: Traded) -> float:
    """How much products' orders a day vary beyond chance, all together: what chance leaves of Σ(count - share · orders)²."""
    left, scale = 0.0, 0.0
    for one in sold:
        share = one.usual / traded.usual
        left += one.squares - 2 * share * one.crossed + share * share * traded.squares - one.usual
        scale += share * share * traded.squares
    return min(baseline.LARGEST_SCATTER, max(0.0, left / scale)) if scale else baseline.USUAL_SCATTER
