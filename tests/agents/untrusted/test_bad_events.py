"""What may lie in the topic of orders: what is wrong is given up, what is late or known changes nothing, and all else goes on."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.errors import MessageSizeTooLargeError

from soms import envelope
from soms.models.database import fetch

TOPIC = "soms.orders"
STORY = ("placed", "paid", "shipped", "delivered", "returned")
Headers = list[tuple[str, bytes]]


async def test_a_good_one(shelf: Any) -> None:
    """The process works: what is placed is allocated, what is shipped goes out."""
    await shelf.tell("placed")
    assert await shelf.state() == ("ALLOCATED", 10, 2, 1)
    record = await shelf.tell("shipped")

    assert await shelf.state() == ("SHIPPED", 8, 0, 2)
    assert await shelf.reason(record) is None


UNREADABLE: dict[str, Callable[[Any], tuple[bytes | None, Headers]]] = {
    "empty": lambda shelf: (b"", shelf.headers()),
    "null": lambda shelf: (None, shelf.headers()),
    "not JSON": lambda shelf: (b"\xff{not JSON", shelf.headers()),
    "deep": lambda shelf: (b"[" * 100_000, shelf.headers()),
    "nearly 1 MiB": lambda shelf: (b'{"order_id":' * 80_000, shelf.headers()),
    "a list": lambda shelf: (b"[]", shelf.headers()),
    "no headers": lambda shelf: (shelf.value("placed"), []),
    "no event id": lambda shelf: (shelf.value("placed"), shelf.headers(ce_id=None)),
    "an event id that is no UUID": lambda shelf: (shelf.value("placed"), shelf.headers(ce_id="17")),
    "no type": lambda shelf: (shelf.value("placed"), shelf.headers(ce_type=None)),
    "no time": lambda shelf: (shelf.value("placed"), shelf.headers(ce_time=None)),
    "a time beyond all calendars": lambda shelf: (shelf.value("placed"), shelf.headers(ce_time="99999-01-01T00:00:00Z")),
    "another order's key": lambda shelf: (shelf.value("placed", order_id=str(uuid4())), shelf.headers()),
    "no lines": lambda shelf: (shelf.value("placed", lines=None), shelf.headers()),
    "NaN": lambda shelf: (shelf.value("placed", total=float("nan")), shelf.headers()),
}
WRONG: dict[str, dict[str, Any]] = {
    "a version of 10^30": {"version": 10**30},
    "a version below zero": {"version": -1},
    "10^30 pieces back": {"lines": [{"sku": "A", "name": "A", "quantity": 2, "returned_quantity": 10**30, "unit_price": 5}]},
    "-1 pieces back": {"lines": [{"sku": "A", "name": "A", "quantity": 2, "returned_quantity": -1, "unit_price": 5}]},
    "a status nobody knows": {"status": "lost"},
}


@pytest.mark.parametrize("case", UNREADABLE)
async def test_unreadable(shelf: Any, case: str) -> None:
    """It is given up at once, changes nothing, and the next one is handled."""
    record = await shelf.put(*UNREADABLE[case](shelf))
    await shelf.tell("placed")

    assert await shelf.reason(record) == envelope.UNREADABLE
    assert await shelf.state() == ("ALLOCATED", 10, 2, 1)


@pytest.mark.parametrize("case", WRONG)
async def test_no_order_can_be_like_that(shelf: Any, case: str) -> None:
    """It can be read, and no order can be so: given up without another try."""
    record = await shelf.put(shelf.value("placed", **WRONG[case]), shelf.headers())
    await shelf.tell("placed")

    assert await shelf.reason(record) == "validation_failed"
    assert await shelf.state() == ("ALLOCATED", 10, 2, 1)


async def test_ten_megabytes(shelf: Any) -> None:
    """The broker does not take it."""
    with pytest.raises(MessageSizeTooLargeError):
        await shelf.producer.send_and_wait(TOPIC, b"x" * (10 << 20), key=b"key")


async def test_newer_versions(shelf: Any) -> None:
    """Members that are not known are ignored, and so is a newer kind of event; neither is given up."""
    newer = await shelf.put(shelf.value("placed"), shelf.headers(ce_type="soms.order.placed.v2"))
    held = await shelf.state()
    grown = await shelf.tell("placed", gift={"wrapped": True})

    assert held[0] == "HELD"
    assert (await shelf.state())[0] == "ALLOCATED"
    assert (await shelf.reason(newer), await shelf.reason(grown)) == (None, None)


async def test_an_id_that_comes_again(shelf: Any) -> None:
    """The same event again changes nothing; another event under its id is given up."""
    event_id = uuid4()
    value, headers = shelf.value("shipped"), shelf.headers("shipped", ce_id=str(event_id))
    await shelf.put(value, headers)
    again = await shelf.put(value, headers)
    other = await shelf.tell("cancelled", event_id=event_id, version=9)

    assert await shelf.state() == ("SHIPPED", 8, 0, 2)
    assert (await shelf.reason(again), await shelf.reason(other)) == (None, "event_id_reused")


async def test_out_of_order(shelf: Any) -> None:
    """Gaps are bridged, what is late is passed over, and nothing of that is given up."""
    records = [await shelf.tell("shipped", version=5), await shelf.tell("placed"), await shelf.tell("paid", version=4)]

    assert await shelf.state() == ("SHIPPED", 8, 0, 2)
    assert [await shelf.reason(record) for record in records] == [None] * 3


async def test_cancelled_before_placed(shelf: Any) -> None:
    """Stock is free again and stays so."""
    await shelf.tell("cancelled")
    await shelf.tell("placed")

    assert await shelf.state() == ("RELEASED", 10, 0, 1)


async def test_an_order_that_holds_nothing(shelf: Any) -> None:
    """An order without a reservation moves no stock."""
    shelf.order_id, known = uuid4(), shelf.order_id
    records = [await shelf.tell(status) for status in STORY]
    shelf.order_id = known

    assert await shelf.state() == ("HELD", 10, 2, 1)
    assert {await shelf.reason(record) for record in records} == {None}


@pytest.mark.parametrize("time", ["1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
async def test_strange_times(shelf: Any, time: str) -> None:
    """Stock goes by versions, whatever the clock said; a stranger as the source is as good."""
    await shelf.put(shelf.value("placed", at=time), shelf.headers(ce_time=time, ce_source="//elsewhere"))

    assert (await shelf.state())[0] == "ALLOCATED"


async def test_many_goods(shelf: Any) -> None:
    """Thousands of SKUs that nobody knows, with names that would break lines and pages, cost nothing but time."""
    name = "\r\nBcc: all\x00<script>"
    lines = [{"sku": f"X-{n}", "name": name, "quantity": 1, "returned_quantity": 1, "unit_price": -1} for n in range(5_000)]
    record = await shelf.tell("shipped", lines=lines)

    assert await shelf.state() == ("SHIPPED", 8, 0, 2)
    assert await shelf.reason(record) is None


async def test_the_whole_story_again(shelf: Any) -> None:
    """Told from the beginning once more nothing changes; nor when nobody remembers that it was told."""
    story = [(shelf.value(status), shelf.headers(status)) for status in STORY]
    for event in story:
        await shelf.put(*event)
    first = await shelf.state()
    for event in story:
        await shelf.put(*event)
    second = await shelf.state()
    await fetch("products", "delete from inbox")
    for event in story:
        await shelf.put(*event)

    assert first == second == await shelf.state() == ("SHIPPED", 10, 0, 3)
