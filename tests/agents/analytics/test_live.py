"""The live document, from a board that was told what changelogs tell. No broker."""

import datetime as dt
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest

from soms.agents import live
from soms.agents.board import Board
from soms.agents.live import HOURS, MINUTES
from soms.errors import InvalidArgument

NOON = dt.datetime(2026, 3, 4, 12, 0, 30, tzinfo=dt.UTC).timestamp()
UTC = ZoneInfo("UTC")


def tell(board: Board, table: str, start: float, each: dict[str, Any], *, offset: int = 0, partition: int = 0, key: str = "all") -> None:
    """What a changelog tells."""
    size = 60 if table == MINUTES else 3600
    board.take(table, orjson.dumps([f"{key}|{partition}", [start, start + size - 0.1]]), orjson.dumps({"o": offset, "each": each}))


def orders(number: int, **more: Any) -> dict[str, Any]:
    """A minute's value."""
    return {"all": {"orders": number, "units": 2 * number, "revenue": {"GBP": 100 * number}, **more}}


def document(board: Board, now: float = NOON, zone: ZoneInfo = UTC) -> Any:
    """The document at a time."""
    return live.document(board, now, zone, 0.0)


def test_an_empty_hour_is_sixty_zeros() -> None:
    """Sixty minutes, oldest first, the newest the one under way; gaps are zeros."""
    found = document(Board())

    assert [window["orders"] for window in found["windows"]] == [0] * 60
    assert found["windows"][-1]["start"] == "2026-03-04T12:00:00.000000Z"
    assert found["windows"][0] == {
        "start": "2026-03-04T11:01:00.000000Z",
        "seconds": 60,
        "orders": 0,
        "units": 0,
        "revenue": {},
        "cancelled": 0,
        "returned": 0,
    }
    assert (found["as_of"], found["lag_seconds"], found["top_products"]) == ("2026-03-04T12:00:30.000000Z", 0.0, [])


def test_totals_are_sums() -> None:
    """Partitions and minutes add up; what is no longer in the hour still counts today, and what comes in the future not yet."""
    board = Board()
    for partition in range(3):
        tell(board, MINUTES, NOON - 30, orders(1), partition=partition)
    tell(board, MINUTES, NOON - 30 - 59 * 60, orders(10, cancelled=4))
    tell(board, MINUTES, NOON - 30 - 60 * 60, orders(100))
    tell(board, MINUTES, NOON - 30 - 13 * 3600, orders(1000))
    tell(board, MINUTES, NOON + 30, orders(10_000))
    totals = document(board)["totals"]

    assert [totals[name]["orders"] for name in ("last_minute", "last_hour", "today")] == [3, 13, 113]
    assert totals["last_hour"]["cancelled"] == 4
    assert totals["today"]["revenue"] == {"GBP": 11_300}
    assert totals["today"]["start"] == "2026-03-04T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("zone", "now", "start"),
    [
        ("Europe/London", "2026-03-29T12:00+00:00", "2026-03-29T00:00:00.000000Z"),
        ("Europe/Berlin", "2026-10-25T12:00+00:00", "2026-10-24T22:00:00.000000Z"),
        ("Asia/Kathmandu", "2026-01-01T12:00+00:00", "2025-12-31T18:15:00.000000Z"),
    ],
)
def test_today_begins_at_midnight_of_the_shop(zone: str, now: str, start: str) -> None:
    """Also on days when clocks change, and where zones are a quarter of an hour apart."""
    board, moment = Board(), dt.datetime.fromisoformat(now).timestamp()
    first = dt.datetime.fromisoformat(start).timestamp()
    tell(board, MINUTES, first - 60, orders(1))
    tell(board, MINUTES, first, orders(2))
    today = document(board, moment, ZoneInfo(zone))["totals"]["today"]

    assert (today["start"], today["orders"], today["seconds"]) == (start, 2, moment - first + 60)


def test_the_highest_offset_holds() -> None:
    """A value that was written late by a worker that was frozen changes nothing."""
    board = Board()
    for offset, number in [(5, 5), (3, 3), (5, 99)]:
        tell(board, MINUTES, NOON - 30, orders(number), offset=offset)

    assert document(board)["totals"]["last_minute"]["orders"] == 5
    assert (board.offsets, len(board)) == ({0: 5}, 1)


def test_what_sold_best_comes_first() -> None:
    """Ten products by revenue, over the hour under way and the one before; currencies stay apart; countries too."""
    board = Board()
    for n in range(12):
        sold = {"orders": 1, "units": n, "revenue": {"GBP": 100 * n}, "name": f"Thing {n}"}
        tell(board, HOURS, NOON - 30 - 3600 * (n % 2), {f"product:S|{n}": sold}, partition=n, key=f"product:{n}")
    tell(board, HOURS, NOON - 30, {"country:GB": {"orders": 2, "revenue": {"GBP": 9}}, "country:": {"orders": 1}}, key="country:")
    tell(board, HOURS, NOON - 30 - 7200, {"product:old": {"orders": 1, "revenue": {"GBP": 10**6}}}, key="product:0")
    found = document(board)

    assert [one["sku"] for one in found["top_products"]] == [f"S|{n}" for n in range(11, 1, -1)]
    assert found["top_products"][0] == {"sku": "S|11", "name": "Thing 11", "orders": 1, "units": 11, "revenue": {"GBP": 1100}}
    assert [one["country"] for one in found["top_countries"]] == ["GB", None]


def test_a_board_forgets() -> None:
    """What is older than asked for is gone."""
    board = Board()
    tell(board, MINUTES, 0, orders(1))
    tell(board, MINUTES, 60, orders(2))
    board.sweep(MINUTES, 60)

    assert (len(board), dict(board.sums(MINUTES, 0)), board.sums(MINUTES, 60)["all"].orders) == (1, {}, 2)


@pytest.mark.parametrize("record", [(b"x", b"{}"), (b'["all|0",[0,59.9]]', b'{"o":1}'), (b'["all",[0,1]]', b'{"o":1,"each":{}}')])
def test_strange_records_are_refused(record: Sequence[bytes]) -> None:
    """A board takes what tables write, and nothing else."""
    with pytest.raises(InvalidArgument):
        Board().take(MINUTES, *record)
