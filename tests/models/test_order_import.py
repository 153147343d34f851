"""Importing orders of the past, against real PostgreSQL: each once, with its own time and prices, and what undoes another."""

import asyncio
import datetime as dt
from typing import Any
from uuid import uuid4

import orjson
import pytest
from pydantic import ValidationError

from soms.config import Settings
from soms.envelope import KINDS
from soms.events import OrderEvent
from soms.models import order_document
from soms.models.audit import CHECKS, audited
from soms.models.database import fetch
from soms.models.order import Action
from soms.models.order_import import Outcome, import_orders
from soms.models.transition import Actor, Change, change
from soms.order_payload import LARGEST_BYTES
from soms.past import PastOrder

STAFF = uuid4()
AT = dt.datetime(2010, 12, 1, 8, 26, tzinfo=dt.UTC)
LINES = ({"sku": "85123A", "name": "HOLDER", "quantity": 6, "unit_price": 255}, {"sku": "POST", "quantity": 1, "unit_price": 1800})


def past(number: str, *lines: Any, **more: Any) -> PastOrder:
    """An order of 1 December 2010."""
    return PastOrder.model_validate({"external_number": number, "placed_at": AT, "currency": "GBP", "lines": lines or LINES, **more})


def back(number: str, cancels: str, **more: Any) -> PastOrder:
    """What undoes all of an order, a day later."""
    lines = [line | {"quantity": -line["quantity"]} for line in LINES]
    return past(number, *lines, cancels=cancels, placed_at=AT + dt.timedelta(days=1), **more)


async def told() -> list[OrderEvent]:
    """The events, in the order they were written."""
    rows = await fetch("orders", "select type, payload from outbox order by id")
    return [KINDS[row["type"]].model_validate_json(row["payload"]) for row in rows]  # type: ignore[misc]


async def books() -> tuple[int, int, int]:
    """Orders, pieces and value of those that were not cancelled."""
    (row,) = await fetch(
        "orders",
        "select count(distinct orders.id) as orders, coalesce(sum(quantity), 0) as units, coalesce(sum(quantity * unit_price), 0) as value"
        " from orders left join order_line on order_id = orders.id where status <> 'cancelled'",
    )
    return row["orders"], row["units"], int(row["value"])


def reasons(outcomes: list[Outcome]) -> list[str]:
    """Outcomes in a word each."""
    return [one.refusal.reason if one.refusal else "replayed" if one.replayed else "created" for one in outcomes]


async def test_an_order_keeps_what_it_was(database: None) -> None:
    """Its own number, time, names and prices stand; its event carries its time, its number and who ordered."""
    asked = past("536365", email="Ann@Example.org", external_user="17850", name="Ann", country="United Kingdom")
    (made,) = await import_orders([asked], STAFF)
    assert made.order_id

    found = await order_document.read(made.order_id)  # type: ignore[arg-type] - PostgreSQL takes the text of an id
    assert (found["external_number"], found["email"], found["user_id"], found["total"]) == ("536365", "ann@example.org", None, 3330)
    assert [line["name"] for line in found["lines"]] == ["HOLDER", "POST"]
    assert found["created_at"] == AT.isoformat()
    (event,) = await told()
    assert (event.type, event.placed_at, event.at, event.country) == ("soms.order.placed.v1", AT, AT, "United Kingdom")
    assert (event.external_number, event.external_user, event.total) == ("536365", "17850", 3330)
    (entry,) = await fetch("orders", "select at, actor_type, actor_id from timeline")
    assert tuple(entry) == (AT, "staff", str(STAFF))


async def test_twice_is_once(database: None) -> None:
    """The same again is replayed with the same id and no event, in one import and in two; another order by that number is refused."""
    first = await import_orders([past("1"), past("1"), past("2")], STAFF)
    second = await import_orders([past("2"), past("1", external_user="x"), past("3")], STAFF)

    assert reasons(first) == ["created", "replayed", "created"]
    assert reasons(second) == ["replayed", "idempotency_mismatch", "created"]
    assert (first[0].order_id, first[2].order_id) == (first[1].order_id, second[0].order_id)
    assert len(await told()) == 3


async def test_rivals_import_each_order_once(database: None) -> None:
    """Four imports of the same forty orders at once, in any order: forty orders."""
    orders = [past(str(n)) for n in range(40)]

    outcomes = await asyncio.gather(*(import_orders(orders[n:] + orders[:n], STAFF) for n in (0, 10, 20, 30)))

    assert sorted(word for one in outcomes for word in reasons(one)) == ["created"] * 40 + ["replayed"] * 120
    assert await books() == (40, 280, 40 * 3330)


async def test_what_cancels_an_order_undoes_it(database: None) -> None:
    """The order is cancelled at the time of what cancels it, whether in the same import or later; again it is replayed."""
    outcomes = await import_orders([back("C1", "1"), past("1"), past("2")], STAFF)
    outcomes += await import_orders([back("C2", "2"), back("C1", "1")], STAFF)

    assert reasons(outcomes) == ["created"] * 4 + ["replayed"]
    assert (outcomes[0].order_id, outcomes[3].order_id) == (outcomes[1].order_id, outcomes[2].order_id)
    assert await books() == (0, 0, 0)
    events = [event for event in await told() if event.status == "cancelled"]
    assert [(e.type, e.version, e.placed_at, e.at) for e in events] == [("soms.order.cancelled.v1", 2, AT, AT + dt.timedelta(days=1))] * 2


async def test_what_undoes_no_whole_order_stands_for_itself(database: None) -> None:
    """A part, another price or an unknown order: an order of its own with pieces taken back, so that the sums agree."""
    part = past("C1", {"sku": "85123A", "quantity": -2, "unit_price": 255}, cancels="1")
    dearer = past(
        "C2", {"sku": "85123A", "quantity": -6, "unit_price": 256}, {"sku": "POST", "quantity": -1, "unit_price": 1800}, cancels="1"
    )

    assert reasons(await import_orders([past("1"), part, dearer, back("C3", "nobody")], STAFF)) == ["created"] * 4
    assert await books() == (4, 7 - 2 - 7 - 7, 3330 - 510 - 3336 - 3330)


async def test_what_is_over_is_not_cancelled(database: None) -> None:
    """An order that is cancelled already, or on its way, refuses; the number stays free."""
    ids = [one.order_id for one in await import_orders([past("1"), past("2")], STAFF)]
    assert reasons(await import_orders([back("C1", "1"), back("C2", "1")], STAFF)) == ["created", "invalid_transition"]
    staff = Actor("staff", str(STAFF), STAFF)
    for action in (Action.PAY, Action.SHIP):
        await change(Change(ids[1], action, staff))  # type: ignore[arg-type]

    assert reasons(await import_orders([back("C2", "2")], STAFF)) == ["invalid_transition"]
    assert reasons(await import_orders([past("C2")], STAFF)) == ["created"]


async def test_ten_thousand_lines_are_told(database: None) -> None:
    """Their event fits, with names cut if need be; what would not fit without is refused and leaves nothing, others stand."""
    line = {"quantity": 12, "unit_price": 12345}
    large = past("1", *({"sku": f"{n:05}A", "name": "WHITE HANGING HEART T-LIGHT HOLDER", **line} for n in range(10_000)))
    too_large = past("2", *({"sku": f"{n:064}", **line} for n in range(10_000)))

    assert reasons(await import_orders([large, too_large, past("3")], STAFF)) == ["created", "too_large", "created"]
    rows = await fetch("orders", "select payload from outbox order by id")
    assert [len(row["payload"]) <= LARGEST_BYTES for row in rows] == [True, True]
    assert len(orjson.loads(rows[0]["payload"])["lines"]) == 10_000
    assert await fetch("orders", "select count(*) as n from import") == [(2,)]


async def test_the_audit_has_nothing_to_say(database: None, settings: Settings) -> None:
    """No stock is held, no fence stands and no customer is told: all rules hold, but for what reads the events later."""
    await import_orders([past("1"), past("2"), back("C2", "2"), past("3", {"sku": "A", "quantity": -1, "unit_price": 0})], STAFF)

    results = await audited(settings, 0, CHECKS)
    assert [(one.name, one.breaches) for one in results if one.breaches and not one.name.startswith(("outbox.", "history."))] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"placed_at": "2010-12-01T08:26:00"},
        {"placed_at": 1291191960},
        {"placed_at": "1969-12-31T23:59:59Z"},
        {"placed_at": "2999-01-01T00:00:00Z"},
        {"lines": []},
        {"lines": [{"sku": "A", "quantity": 1.0, "unit_price": 1}]},
        {"lines": [{"sku": "A", "quantity": 1_000_001, "unit_price": 1}]},
        {"lines": [{"sku": "A", "quantity": 1, "unit_price": -1_000_000_001}]},
        {"lines": [{"sku": "A/B", "quantity": 1, "unit_price": 1}]},
        {"lines": [{"sku": "A", "quantity": 1_000_000, "unit_price": 1_000_000_000}] * 10_000},
        {"currency": "pounds"},
        {"external_number": " "},
        {"more": 1},
    ],
    ids=lambda wrong: str(wrong)[:60],
)
def test_what_no_order_can_be_is_refused(wrong: Any) -> None:
    """Times without a zone or in the future, no lines, values out of bounds, members nobody knows."""
    good = {"external_number": "1", "placed_at": "2010-12-01T08:26:00Z", "currency": "GBP", "lines": list(LINES)}
    assert PastOrder.model_validate(good).total == 3330
    with pytest.raises(ValidationError):
        PastOrder.model_validate(good | wrong)
