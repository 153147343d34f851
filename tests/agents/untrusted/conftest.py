"""A real inventory process, an order that holds stock, and who writes records of all kinds behind its events."""

import contextlib
import dataclasses
import datetime as dt
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from soms import envelope
from soms.agents import letterbox
from soms.agents.lag import places
from soms.agents.topics import PARTITIONS
from soms.config import Settings
from soms.local.child import Child
from soms.models import catalogue, stock
from soms.models.catalogue import NewProduct
from soms.models.database import fetch
from soms.models.reservation import Wanted, reserve

TOPIC = "soms.orders"
STATUSES = {"placed": 1, "paid": 2, "shipped": 3, "delivered": 4, "returned": 5, "cancelled": 2}
Headers = list[tuple[str, bytes]]


@dataclasses.dataclass
class Shelf:
    """An order of two `A`, of which there are ten, and who tells the inventory process of it."""

    settings: Settings
    producer: AIOKafkaProducer
    process: Child
    eventually: Any
    order_id: UUID = dataclasses.field(default_factory=uuid4)

    def value(self, status: str, /, **members: Any) -> bytes:
        """The event of an order that stands like that."""
        line = {"sku": "A", "name": "A", "quantity": 2, "returned_quantity": 2 if status == "returned" else 0, "unit_price": 5}
        now = dt.datetime.now(dt.UTC).isoformat()
        order = {"order_id": str(self.order_id), "number": "SO-1", "status": status, "user_id": None, "email": "a@example.org"}
        more = {"currency": "GBP", "total": 10, "lines": [line], "placed_at": now, "at": now, "version": STATUSES[status]}
        return json.dumps(order | more | ({"returned": []} if status == "returned" else {}) | members).encode()

    def headers(self, status: str = "placed", **changed: str | None) -> Headers:
        """Those of an event, but for what is to be other or missing."""
        told = dict(envelope.headers(uuid4(), f"soms.order.{status}.v1", "/soms/order", dt.datetime.now(dt.UTC)))
        told |= {name: text.encode() for name, text in changed.items() if text is not None}
        return [(name, text) for name, text in told.items() if changed.get(name, "") is not None]

    async def put(self, value: bytes | None, headers: Headers) -> Any:
        """Write a record; where it lies."""
        return await self.producer.send_and_wait(TOPIC, value, key=str(self.order_id).encode(), headers=headers)

    async def done(self, seconds: float = 90) -> None:
        """Wait until the process is done with all that lies in the topic."""

        async def through() -> bool:
            with contextlib.suppress(KafkaError):  # the group is not there yet
                spots = [(TOPIC, partition) for partition in range(PARTITIONS)]
                return not any(place.behind for place in (await places(str(self.settings.kafka), "inventory", spots)).values())
            return False

        await self.eventually(through, seconds)
        assert not self.process.ended

    async def tell(self, status: str, *, event_id: UUID | None = None, **members: Any) -> Any:
        """Write a good event."""
        changed = {"ce_id": str(event_id)} if event_id else {}
        return await self.put(self.value(status, **members), self.headers(status, **changed))

    async def reason(self, record: Any) -> str | None:
        """Why a record was given up; None if it was not."""
        await self.done()
        letters = await letterbox.opened(self.settings, ["inventory"], settled=True)
        found = {letter.origin: letter.told["reason"] for letter in letters}
        return found.get((record.topic, record.partition, record.offset))

    async def state(self) -> tuple[str, int, int, int]:
        """Where the reservation stands, what is on hand and reserved, and how many movements there were."""
        await self.done()
        (row,) = await fetch("products", "select state from reservation where order_id = $1", self.order_id)
        (moved,) = await fetch("products", "select count(*) from movement")
        now = await stock.read("A")
        return str(row["state"]), now["on_hand"], now["reserved"], moved[0]


@pytest.fixture(scope="module")
async def process(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Child]:
    """The inventory process."""
    environment = os.environ | {f"SOMS_{name.upper()}": str(getattr(stack, name)) for name in ("home", "postgres", "kafka", "eureka")}
    with (Path(tmp_path_factory.mktemp("inventory")) / "log").open("ab") as log:
        child = await Child.spawn((sys.executable, "-m", "soms.agents.inventory"), environment, log)
    yield child
    await child.stop(grace_seconds=15)


@pytest.fixture
async def shelf(stack: Settings, process: Child, database: None, eventually: Callable[..., Awaitable[None]]) -> AsyncIterator[Shelf]:
    """Two pieces are held."""
    async with AIOKafkaProducer(bootstrap_servers=stack.kafka, max_request_size=20 << 20) as producer:
        shelf = Shelf(stack, producer, process, eventually)
        await catalogue.create(uuid4(), "", NewProduct(sku="A", name="A", price=5, currency="GBP", on_hand=10))
        await reserve([Wanted(shelf.order_id, {"A": 2})])
        yield shelf
