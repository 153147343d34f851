"""The live document (rest.md): the last hour by minutes, and what came of it. Reads a board; knows no Kafka and no HTTP."""

import datetime as dt
import heapq
from collections.abc import Iterable, Iterator
from typing import Any, Final
from zoneinfo import ZoneInfo

from soms.agents.board import Board
from soms.agents.tally import Tally

MINUTE: Final = 60
HOUR: Final = 3600
WINDOWS: Final = 60
TOP: Final = 10
MINUTES: Final = "minutes"
HOURS: Final = "hours"
ALL: Final = "all"
PRODUCT: Final = "product:"
COUNTRY: Final = "country:"


def document(board: Board, now: float, zone: ZoneInfo, lag_seconds: float) -> dict[str, Any]:
    """What is known `now` (seconds since 1970). The newest minute is the one under way, and so is the last hour's.

    Top lists are of the clock hour under way and the one before.
    """
    minute = now // MINUTE * MINUTE
    starts = [minute - MINUTE * back for back in reversed(range(WINDOWS))]
    windows = [_window(start, MINUTE, _minute(board, start)) for start in starts]
    today = midnight(now, zone)
    return {
        "as_of": stamp(now),
        "lag_seconds": round(lag_seconds, 3),
        "windows": windows,
        "totals": {
            "last_minute": windows[-1],
            "last_hour": _total(board, starts[0], minute),
            "today": _total(board, today, minute),
        },
        **_tops(board, now // HOUR * HOUR),
    }


def midnight(now: float, zone: ZoneInfo) -> float:
    """When the day began in `zone`, in seconds since 1970; where clocks skip midnight, at the first moment there was."""
    local = dt.datetime.fromtimestamp(now, zone)
    return local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).timestamp()


def stamp(moment: float) -> str:
    """A time as REST says it."""
    return dt.datetime.fromtimestamp(moment, dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _total(board: Board, first: float, last: float) -> dict[str, Any]:
    """The minutes from the one that begins at `first` to the one that begins at `last`."""
    total = Tally()
    for start in range(int(first // MINUTE) * MINUTE, int(last) + 1, MINUTE):
        total.add(_minute(board, start))
    return _window(first, int(last - first) + MINUTE, total)


def _minute(board: Board, start: float) -> Tally:
    return board.sums(MINUTES, start).get(ALL) or Tally()


def _window(start: float, seconds: int, tally: Tally) -> dict[str, Any]:
    return {
        "start": stamp(start),
        "seconds": seconds,
        "orders": tally.orders,
        "units": tally.units,
        "revenue": _revenue(tally),
        "cancelled": tally.cancelled,
        "returned": tally.returned,
    }


def _tops(board: Board, hour: float) -> dict[str, Any]:
    sums: dict[str, Tally] = {}
    for start in (hour - HOUR, hour):
        for metric, tally in board.sums(HOURS, start).items():
            sums.setdefault(metric, Tally()).add(tally)
    products = ({"sku": sku, "name": tally.name or sku, **_sold(tally)} for sku, tally in _best(sums, PRODUCT))
    countries = ({"country": country or None, **_sold(tally)} for country, tally in _best(sums, COUNTRY))
    return {"top_products": list(products), "top_countries": list(countries)}


def _best(sums: dict[str, Tally], kind: str) -> Iterator[tuple[str, Tally]]:
    """The ten that brought most, by the currency that brought most in all; then by what was sold."""
    found = [(metric.removeprefix(kind), tally) for metric, tally in sums.items() if metric.startswith(kind) and tally.orders]
    currency = _main_currency(tally for _, tally in found)
    yield from heapq.nsmallest(TOP, found, key=lambda one: (-one[1].revenue.get(currency, 0), -one[1].units, one[0]))


def _main_currency(tallies: Iterable[Tally]) -> str:
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return max(sorted(total.revenue), key=total.revenue.__getitem__, default="")


def _sold(tally: Tally) -> dict[str, Any]:
    return {"orders": tally.orders, "units": tally.units, "revenue": _revenue(tally)}


def _revenue(tally: Tally) -> dict[str, int]:
    return {currency: amount for currency, amount in sorted(tally.revenue.items()) if amount or tally.orders}
