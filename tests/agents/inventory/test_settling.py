"""How the inventory agent settles, in this process on a real database: together, each alone where that fails, and not at all."""

import asyncio
import datetime as dt
import uuid
from typing import Any
from uuid import UUID

import pytest

from soms.agents import inventory as module
from soms.agents.inventory import Inventory
from soms.envelope import Envelope
from soms.errors import Unavailable
from soms.events import EventLine, OrderPlaced
from soms.models import catalogue, stock
from soms.models.catalogue import NewProduct
from soms.models.database import fetch
from soms.models.fulfilment import Settlement, settle
from soms.models.reservation import Wanted, reserve

NOW = dt.datetime.now(dt.UTC)
TEA = EventLine(sku="TEA", name="Tea", quantity=3, unit_price=1)


def came(order_id: UUID, version: int, status: str, *lines: EventLine) -> Envelope:
    """An event of an order, as it was read."""
    members = {"number": "SO-1", "user_id": None, "email": "ann@example.org", "currency": "GBP", "total": 3, "placed_at": NOW, "at": NOW}
    event = OrderPlaced(version=version, order_id=order_id, status=status, lines=list(lines) or [TEA], **members)
    return Envelope(uuid.uuid4(), event.type, NOW, event.key, b"", event)


async def held(number: int) -> list[UUID]:
    """So many orders that hold three of a hundred packets of tea."""
    await catalogue.create(uuid.uuid4(), "", NewProduct(sku="TEA", name="Tea", price=1, currency="GBP", on_hand=100))
    orders = [uuid.uuid4() for _ in range(number)]
    await reserve([Wanted(order_id, {"TEA": 3}) for order_id in orders])
    return orders


async def handled(envelopes: list[Envelope]) -> list[BaseException | None]:
    """What comes of events that arrive together."""
    shelves = Inventory()
    return await asyncio.gather(*map(shelves.handle, envelopes), return_exceptions=True)


async def test_one_that_fails_spoils_nothing_for_others(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of events that share a transaction the one whose stock cannot be settled fails alone, and counts as not received."""
    orders, batches = await held(12), list[int]()

    async def settling(settlements: Any) -> None:
        batches.append(len(found := list(settlements)))
        if any(one.order_id == orders[7] for one in found):
            raise ZeroDivisionError
        await settle(found)

    monkeypatch.setattr(module, "settle", settling)
    outcomes = await handled([came(one, 3, "shipped") for one in orders])
    now = await stock.read("TEA")

    assert [type(one) for one in outcomes] == [type(None)] * 7 + [ZeroDivisionError] + [type(None)] * 4
    assert max(batches) == 10
    assert (now["on_hand"], now["reserved"]) == (67, 3)
    assert len(await fetch("products", "select from inbox")) == 11


async def test_an_outage_is_that_of_all(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the database away nobody tries them one by one."""
    tries: list[int] = []

    async def away(settlements: Any) -> None:
        tries.append(len(list(settlements)))
        raise Unavailable

    monkeypatch.setattr(module, "settle", away)
    outcomes = await handled([came(uuid.uuid4(), 1, "paid") for _ in range(12)])

    assert {type(one) for one in outcomes} == {Unavailable}
    assert sorted(tries) == [1, 1, 10]


async def test_a_repeated_event_is_not_settled_again(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies in one transaction, and one that comes later, settle once."""
    (order_id,), settled = await held(1), list[Settlement]()

    async def settling(settlements: Any) -> None:
        settled.extend(settlements)

    monkeypatch.setattr(module, "settle", settling)
    event = came(order_id, 1, "placed")
    assert [*await handled([event] * 12), *await handled([event])] == [None] * 13

    assert settled == [Settlement(order_id, 1, "placed")]


def test_a_standing_is_that_of_its_event() -> None:
    """Lines of one SKU count together; those of which nothing came back are not told."""
    back = TEA.model_copy(update={"returned_quantity": 1})
    event = came(UUID(int=1), 4, "delivered", back, back, TEA.model_copy(update={"sku": "of\tanother system"})).event

    assert isinstance(event, OrderPlaced)
    assert Settlement.of(event) == Settlement(UUID(int=1), 4, "delivered", {"TEA": 2})


@pytest.mark.parametrize(
    "wrong", [{"status": "stolen"}, {"version": -1}, {"version": 1 << 63}, {"lines": [TEA.model_copy(update={"returned_quantity": -1})]}]
)
def test_an_impossible_standing_is_refused(wrong: dict[str, Any]) -> None:
    """Before it gets anywhere near the database."""
    event = came(UUID(int=1), 4, "delivered").event

    assert isinstance(event, OrderPlaced)
    with pytest.raises(ValueError, match=next(iter(wrong)).replace("lines", "returned")):
        Settlement.of(event.model_copy(update=wrong))
