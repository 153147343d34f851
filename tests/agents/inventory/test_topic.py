"""The inventory agent as a process, on the real broker and database: whatever is told, however often, stock is where its orders stand."""

import datetime as dt
import random
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from soms import envelope
from soms.agents import topics
from soms.agents.lag import places
from soms.config import Settings
from soms.events import EventLine, OrderEvent, OrderPlaced
from soms.models import catalogue, stock
from soms.models.catalogue import NewProduct
from soms.models.database import fetch
from soms.models.reservation import Wanted, reserve

Record = tuple[bytes, bytes, list[tuple[str, bytes]]]
PIECES: Final = 3
# what an order may go through, as (status, returned in all), and where that leaves stock: gone for good, still reserved
LIVES: Final[list[tuple[list[tuple[str, int]], int, int]]] = [
    ([("placed", 0)], 0, 3),
    ([("placed", 0), ("paid", 0)], 0, 3),
    ([("placed", 0), ("cancelled", 0)], 0, 0),
    ([("placed", 0), ("paid", 0), ("cancelled", 0)], 0, 0),
    ([("placed", 0), ("paid", 0), ("shipped", 0), ("delivered", 0)], 3, 0),
    ([("placed", 0), ("paid", 0), ("shipped", 0), ("delivered", 0), ("delivered", 1), ("delivered", 2)], 1, 0),
    ([("placed", 0), ("paid", 0), ("shipped", 0), ("delivered", 0), ("delivered", 1), ("returned", 3)], 0, 0),
]
VISIBLE: Final = [
    "select sku, on_hand, reserved, version from stock order by sku",
    "select id, sku, kind, delta, on_hand, order_id from movement order by id",
    "select order_id, state, version from reservation order by order_id",
    "select order_id, sku, quantity, returned_quantity from reservation_line order by order_id, sku",
    "select type, key, payload from outbox order by id",
]


def event(order_id: UUID, version: int, status: str, returned: int = 0, **members: Any) -> Record:
    """An event of an order of three pieces of A."""
    made = OrderPlaced(
        version=version,
        order_id=order_id,
        number="SO-1",
        status=status,
        user_id=None,
        email="ann@example.org",
        currency="GBP",
        total=3,
        lines=[EventLine(sku="A", name="A", quantity=PIECES, returned_quantity=returned, unit_price=1)],
        placed_at=dt.datetime.now(dt.UTC),
        at=dt.datetime.now(dt.UTC),
    ).model_copy(update=members)
    headers = envelope.headers(uuid.uuid4(), made.type, "/soms/order", dt.datetime.now(dt.UTC))
    return made.key.encode(), made.payload.encode(), headers


async def held(number: int) -> list[UUID]:
    """So many orders whose stock is held."""
    orders = [uuid.uuid4() for _ in range(number)]
    await reserve([Wanted(order_id, {"A": PIECES}) for order_id in orders])
    return orders


async def visible() -> list[Any]:
    """All that settling may change."""
    return [await fetch("products", statement) for statement in VISIBLE]


async def amounts() -> tuple[int, int]:
    """What is on hand and what of it is reserved."""
    found = await stock.read("A")
    return found["on_hand"], found["reserved"]


@dataclass
class Topic:
    """The orders' topic from the beginning of the test, and groups of inventory workers that read it from there."""

    stack: Settings
    start: Callable[..., Awaitable[Any]]
    begin: dict[TopicPartition, int]
    groups: list[str] = field(default_factory=list)

    async def feed(self, *records: Record) -> None:
        """Write these, in this order."""
        async with AIOKafkaProducer(bootstrap_servers=self.stack.kafka) as producer:
            for key, value, headers in records:
                await producer.send(OrderEvent.topic, value, key=key, headers=headers)

    async def work(self) -> Any:
        """Another worker, in a group of its own, that begins with the test."""
        group = f"inventory-{uuid.uuid4().hex[:8]}"
        async with topics.administration(str(self.stack.kafka)) as admin:
            await admin.create_topics([NewTopic(topics.dead_letters(group), topics.PARTITIONS, 1)])
        async with AIOKafkaConsumer(bootstrap_servers=self.stack.kafka, group_id=group, enable_auto_commit=False) as consumer:
            consumer.assign(list(self.begin))
            await consumer.commit(self.begin)
        self.groups.append(group)
        code = f"from soms.agents.inventory import inventory; from soms.agents.worker import run; run({group!r}, inventory)"
        return await self.start("inventory", code)

    async def through(self) -> bool:
        """Whether all is handled and committed."""
        found = await places(str(self.stack.kafka), self.groups[-1], [tuple(spot) for spot in self.begin])
        return not any(place.behind for place in found.values())

    async def dead(self) -> dict[str, bytes | None]:
        """The dead letters of the last group: reasons and values."""
        name, letters = topics.dead_letters(self.groups[-1]), dict[str, bytes | None]()
        async with AIOKafkaConsumer(name, bootstrap_servers=self.stack.kafka, auto_offset_reset="earliest") as consumer:
            ends = await consumer.end_offsets(consumer.assignment())
            while any([await consumer.position(spot) < end for spot, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    letters |= {dict(one.headers)["dlq_reason"].decode(): one.value for one in records}
        return letters


@pytest.fixture
async def topic(database: None, stack: Settings, start: Any, told: Any) -> Topic:
    """The topic, and a thousand pieces of A."""
    await catalogue.create(uuid.uuid4(), "", NewProduct(sku="A", name="A", price=1, currency="GBP", on_hand=1000))
    return Topic(stack, start, told.since)


async def test_stock_is_where_orders_stand(topic: Topic, eventually: Any) -> None:
    """Events in any order, some again: the ledger adds up. Read again from the first, with and without its inbox: nothing changes."""
    chance = random.Random(4)
    lives = LIVES * 10
    orders = await held(len(lives))
    records = [
        event(order_id, version, *step)
        for order_id, (steps, _, _) in zip(orders, lives, strict=True)
        for version, step in enumerate(steps, 1)
    ]
    records += chance.sample(records, len(records) // 3)
    chance.shuffle(records)
    await topic.feed(*records)
    worker = await topic.work()
    await eventually(topic.through, 30)
    first = await visible()

    assert await amounts() == (1000 - sum(gone for _, gone, _ in lives), sum(reserved for *_, reserved in lives))
    assert sum(row["delta"] for row in first[1]) == (await amounts())[0]
    for wipe in ("select 1", "delete from inbox"):
        await worker.stop(grace_seconds=10)
        await fetch("products", wipe)
        worker = await topic.work()
        await eventually(topic.through, 30)
        assert await visible() == first
        assert await topic.dead() == {}


async def test_what_can_never_work_is_put_aside(topic: Topic, eventually: Any) -> None:
    """Impossible events and ids that came with another value end among the dead letters; what follows under their key is settled."""
    (order_id,) = await held(1)
    placed, other = event(order_id, 1, "placed"), event(order_id, 5, "cancelled")
    await topic.feed(
        placed,
        (other[0], other[1], placed[2]),
        event(order_id, 6, "stolen"),
        event(order_id, 1 << 63, "shipped"),
        event(order_id, -1, "shipped"),
        event(order_id, 7, "shipped", 1 << 40),
        event(order_id, 8, "shipped", 2),
    )
    await topic.work()
    await eventually(topic.through, 30)

    assert set(await topic.dead()) == {"event_id_reused", "validation_failed"}
    assert await amounts() == (999, 0)


async def test_orders_without_stock_here_change_nothing(topic: Topic, eventually: Any) -> None:
    """Imported orders, orders that never reserved, and goods that nobody knows are passed over, not put aside."""
    imported = uuid.uuid4()
    await reserve([Wanted(imported, {"A": 1})])
    before = await visible()
    odd = [EventLine(sku="of another\tsystem", name="?", quantity=1, unit_price=1)]
    await topic.feed(
        event(uuid.uuid4(), 1, "placed"),
        event(uuid.uuid4(), 4, "returned", 3),
        event(uuid.uuid4(), 2, "shipped", lines=odd),
        event(imported, 1, "shipped", external_number="X-1"),
    )
    await topic.work()
    await eventually(topic.through, 30)

    assert await visible() == before
    assert await topic.dead() == {}
