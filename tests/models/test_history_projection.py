"""Events of orders come to the same facts in any order, however often."""

import datetime as dt
import hashlib
import random
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, strategies
from hypothesis import settings as examples

from soms.config import Settings
from soms.envelope import Envelope
from soms.errors import InvalidArgument
from soms.events import (
    EventLine,
    OrderCancelled,
    OrderDelivered,
    OrderEvent,
    OrderPaid,
    OrderPlaced,
    OrderReturned,
    OrderShipped,
    ReturnedLine,
)
from soms.models.database import fetch
from soms.models.history_projection import Projection

BEGAN = dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.UTC)
FACTS = "select * from order_fact order by order_id"
LINES = "select * from line_fact order by order_id, position"


def life(number: int) -> list[OrderEvent]:
    """All that happened to one order, oldest first: paid, shipped, delivered, in part and then wholly returned, or called off."""
    chance = random.Random(number)
    lines = [
        EventLine(sku=f"SKU-{n}", name=f"Thing {n}", quantity=chance.randint(1, 4), unit_price=100 * n)
        for n in range(1, chance.randint(2, 4))
    ]
    total = sum(line.quantity * line.unit_price for line in lines)
    at = BEGAN + dt.timedelta(hours=number)
    known: dict[str, Any] = {
        "order_id": uuid.UUID(int=number, version=4),
        "number": f"SO-{number}",
        "user_id": uuid.UUID(int=number % 3, version=4) if number % 2 else None,
        "email": f"Guest{number % 3}@example.org",
        "currency": "GBP",
        "total": total,
        "country": chance.choice(["GB", "DE", None]),
        "placed_at": at,
    }
    whole = [line.model_copy(update={"returned_quantity": line.quantity}) for line in lines]
    part = [*whole[:1], *lines[1:]]
    back = {"returned": [ReturnedLine(sku="SKU-1", quantity=1)]}
    steps: list[tuple[type[OrderEvent], str, list[EventLine], dict[str, Any]]] = [
        (OrderPlaced, "placed", lines, {}),
        (OrderPaid, "paid", lines, {}),
    ]
    if number % 4 == 0:
        steps.append((OrderCancelled, "cancelled", lines, {}))
    else:
        steps += [(OrderShipped, "shipped", lines, {}), (OrderDelivered, "delivered", lines, {})]
        steps += [(OrderReturned, "delivered", part, back), (OrderReturned, "returned", whole, back)]
        steps = steps[: chance.randint(1, len(steps))]
    return [
        kind.model_validate({**known, **more, "version": n, "status": status, "lines": sent, "at": at + dt.timedelta(minutes=n - 1)})
        for n, (kind, status, sent, more) in enumerate(steps, 1)
    ]


def enveloped(event: OrderEvent) -> Envelope:
    """The event as it comes, with the same id each time."""
    event_id = uuid.uuid5(event.order_id, str(event.version))
    return Envelope(event_id, event.type, event.at, event.key, hashlib.sha256(event.payload.encode()).digest(), event)


async def rows() -> tuple[list[Any], list[Any]]:
    """All facts."""
    return [dict(row) for row in await fetch("analytics", FACTS)], [dict(row) for row in await fetch("analytics", LINES)]


async def project(settings: Settings, events: Sequence[OrderEvent], size: int) -> tuple[list[Any], list[Any]]:
    """The facts after these events, told in batches of so many to an empty history."""
    for table in ("inbox", "order_fact", "line_fact"):
        await fetch("analytics", f"delete from {table}")
    for start in range(0, len(events), size):
        await Projection(settings).project([enveloped(event) for event in events[start : start + size]])
    return await rows()


@examples(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=strategies.data())
async def test_any_order_and_repetition(settings: Settings, database: None, data: strategies.DataObject) -> None:
    """Shuffled, repeated and cut into any batches, the same events give the same rows as in their order one by one."""
    numbers = data.draw(strategies.lists(strategies.integers(1, 12), min_size=1, max_size=4, unique=True))
    events = [event for number in numbers for event in life(number)]
    again = data.draw(strategies.lists(strategies.sampled_from(events), max_size=6))
    mixed = data.draw(strategies.permutations([*events, *again]))

    wanted = await project(settings, events, 1)
    assert await project(settings, mixed, data.draw(strategies.integers(1, 8))) == wanted
    assert len(wanted[0]) == len(numbers)


async def test_a_fact_is_what_its_events_told(settings: Settings, database: None) -> None:
    """State and lines as in the newest event, each time from the event of its step; a return in part is no return."""
    events = [event for number in range(1, 12) for event in life(number)]
    facts, lines = await project(settings, events, 100)
    for fact in facts:
        told = [event for event in events if event.order_id == fact["order_id"]]
        newest = told[-1]
        steps = {event.status: event.at for event in reversed(told)}
        assert [fact[name] for name in ("version", "number", "status", "total", "country", "placed_at", "user_id")] == [
            getattr(newest, name) for name in ("version", "number", "status", "total", "country", "placed_at", "user_id")
        ]
        for status in ("paid", "shipped", "delivered", "cancelled", "returned"):
            assert fact[f"{status}_at"] == steps.get(status)
        mine = [line for line in lines if line["order_id"] == fact["order_id"]]
        assert [(line["sku"], line["quantity"], line["returned_quantity"], line["total"]) for line in mine] == [
            (line.sku, line.quantity, line.returned_quantity, line.quantity * line.unit_price) for line in newest.lines
        ]
        assert fact["units"] == sum(line.quantity for line in newest.lines)


async def test_people_are_ids(settings: Settings, database: None) -> None:
    """No mail address stands in history; orders of one guest belong together, whatever the case of their letters."""
    events = [life(number)[0] for number in (2, 4, 6, 8)]
    events[3] = events[0].model_copy(update={"order_id": uuid.uuid4(), "email": events[0].email.upper()})
    facts, _ = await project(settings, events, 10)
    assert not [row for row in await fetch("analytics", "select f::text as text from order_fact f") if "example" in row["text"]]
    customers = [fact["customer"] for fact in facts]
    assert None not in customers
    assert len(set(customers)) == 3


async def test_an_id_that_stands_for_two_events(settings: Settings, database: None) -> None:
    """The second one is refused and changes nothing."""
    first, second = life(1)[0], life(3)[0]
    await project(settings, [first], 1)
    before = await rows()
    other = enveloped(second)
    [refusal] = await Projection(settings).project([Envelope(enveloped(first).id, other.type, other.time, other.key, other.digest, second)])
    assert isinstance(refusal, InvalidArgument)
    assert await rows() == before


@pytest.mark.parametrize("members", [{"version": 10**30}, {"total": 2**63}, {"number": "\0"}, {"currency": None}])
async def test_what_no_column_holds(settings: Settings, database: None, members: dict[str, Any]) -> None:
    """Is refused alone, among many others that are taken."""
    events = [life(number)[0] for number in range(7)]
    envelopes = [enveloped(event) for event in (*events[:5], life(8)[0].model_copy(update=members), *events[5:])]
    refusals = await Projection(settings).project(envelopes)
    assert [place for place, refusal in enumerate(refusals) if refusal] == [5]
    assert {fact["order_id"] for fact in (await rows())[0]} == {event.order_id for event in events}


@pytest.mark.parametrize("members", [{"email": "", "external_user": None}, {"email": "", "external_user": "17850"}])
async def test_customers_of_another_system(settings: Settings, members: dict[str, Any]) -> None:
    """Who is known by a number there is somebody; who is not known at all is nobody."""
    event = life(2)[0].model_copy(update=members)
    assert (Projection(settings).customer(event) is None) == (members["external_user"] is None)
