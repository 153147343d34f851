"""A shop that takes orders on a real broker, the truth about them, and the analytics workers that count them."""

import asyncio
import contextlib
import datetime as dt
import os
import random
import re
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from soms import envelope
from soms.agents import topics
from soms.agents.producer import milliseconds
from soms.config import Settings
from soms.events import EventLine, OrderCancelled, OrderEvent, OrderPlaced
from soms.local.child import Child
from soms.tokens import Signer
from tests.agents.analytics.memory import Entry

PROGRAM = Path(__file__).with_name("service.py")
MINUTE = 60
NAMESPACE = uuid.UUID(int=7)


class Shop:
    """Takes orders; `truth` is what each minute came to."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self.name = f"analytics-{uuid.uuid4().hex[:8]}"
        self.topic = f"{self.name}.orders"
        self.chance = random.Random(1)
        self.truth: dict[int, Counter[str]] = defaultdict(Counter)
        self.book: dict[uuid.UUID, Entry] = {}
        self.children: list[Child] = []
        self.said: dict[Child, list[str]] = {}
        self.variables: dict[str, str] = {}
        self.token = Signer(settings).access_token(uuid.uuid4(), ["staff"])
        self.producer: AIOKafkaProducer | None = None
        self.number = 0

    async def open(self) -> None:
        """Make the topics."""
        names = (self.topic, topics.dead_letters(self.name))
        async with topics.administration(str(self.settings.kafka)) as admin:
            await admin.create_topics([NewTopic(name, topics.PARTITIONS, 1) for name in names])
        await topics.wait_for(self.settings, names)

    def order(self, moment: float, **members: Any) -> OrderPlaced:
        """An order placed at `moment`."""
        self.number += 1
        at = dt.datetime.fromtimestamp(moment, dt.UTC)
        lines = [
            EventLine(sku=f"SKU-{n}", name=f"Thing {n}", quantity=self.chance.randint(1, 5), unit_price=100 + n)
            for n in self.chance.sample(range(40), 3)
        ]
        known = {
            "version": 1,
            "order_id": uuid.uuid5(NAMESPACE, f"{self.name} {self.number}"),
            "number": str(self.number),
            "status": "placed",
            "user_id": None,
            "email": "ada@example.org",
            "currency": self.chance.choice(["GBP", "EUR"]),
            "total": sum(line.quantity * line.unit_price for line in lines),
            "lines": lines,
            "country": self.chance.choice(["GB", "DE", None]),
            "placed_at": at,
            "at": at,
        }
        return OrderPlaced(**known | members)

    def cancelled(self, order: OrderEvent, moment: float) -> OrderCancelled:
        """That an order was called off at `moment`."""
        changed = {"version": 2, "status": "cancelled", "at": dt.datetime.fromtimestamp(moment, dt.UTC)}
        return OrderCancelled(**order.model_dump() | changed)

    def note(self, event: OrderEvent) -> None:
        """Take an event into the truth."""
        minute = self.truth[int(event.at.timestamp()) // MINUTE * MINUTE]
        if isinstance(event, OrderPlaced):
            minute.update({"orders": 1, "units": sum(line.quantity for line in event.lines), event.currency: event.total})
            lines = [(line.sku, line.quantity, line.unit_price) for line in event.lines]
            self.book[event.order_id] = Entry(1, "placed", event.currency, event.total, event.placed_at, None, lines)
        else:
            minute.update({"cancelled": 1, event.currency: -event.total})
            self.book[event.order_id] = self.book[event.order_id]._replace(version=2, status="cancelled", cancelled_at=event.at)

    @property
    def orders(self) -> int:
        """How many orders were placed."""
        return sum(minute["orders"] for minute in self.truth.values())

    async def tell(self, *events: OrderEvent, moment: float | None = None) -> None:
        """Write events, as of `moment` if given; the same event has the same id whenever it is told."""
        if self.producer is None:
            self.producer = AIOKafkaProducer(bootstrap_servers=self.settings.kafka, linger_ms=5, max_batch_size=1 << 18)
            await self.producer.start()
        for event in events:
            event_id = uuid.uuid5(NAMESPACE, f"{event.order_id} {event.version}")
            headers = envelope.headers(event_id, event.type, "/test", event.at)
            record = {"value": event.payload.encode(), "key": event.key.encode(), "headers": headers}
            await self.producer.send(self.topic, **record, timestamp_ms=int(moment * 1000) if moment else milliseconds(event.at))
        await self.producer.flush()

    async def busy(self, number: int, a_second: float, back_seconds: float = 300) -> None:
        """So many orders, out of order over the last five minutes, a tenth called off and a tenth told twice."""
        began = time.monotonic()
        for done in range(0, number, 100):
            moment = time.time()
            orders = [self.order(moment - self.chance.random() * back_seconds) for _ in range(100)]
            events = [*orders, *(self.cancelled(order, moment) for order in orders[:10])]
            for event in events:
                self.note(event)
            self.chance.shuffle(events)
            await self.tell(*events)
            await self.tell(*events[:10])
            await asyncio.sleep(max(0.0, began + done / a_second - time.monotonic()))

    async def start(self, **variables: str) -> Child:
        """Another worker."""
        environment = os.environ | {
            "SOMS_HOME": str(self.folder),
            "SOMS_KAFKA": str(self.settings.kafka),
            "SOMS_EUREKA": str(self.settings.eureka),
            "SOMS_POSTGRES": str(self.settings.postgres),
            "SOMS_SECRETS_FOLDER": str(self.settings.home / "secrets"),
            "WORKER_SERVICE": self.name,
            "WORKER_TOPIC": self.topic,
            "PYTHONPATH": str(PROGRAM.parents[3]),
        }
        said: list[str] = []
        child = await Child.spawn((sys.executable, str(PROGRAM)), environment | self.variables | variables, said.append)
        self.children.append(child)
        self.said[child] = said
        return child

    def address(self, child: Child) -> str:
        """Where a worker listens; nothing while it does not work."""
        found = [re.search(r'"working".*"address":"([^"]+)"', line) for line in self.said[child]]
        return f"http://{match[1]}" if (match := next((one for one in reversed(found) if one), None)) else ""

    async def live(self, child: Child) -> Any:
        """The live document of a worker; nothing while it has none."""
        if not (address := self.address(child)):
            return None
        headers = {"Authorization": f"Bearer {self.token}"}
        with contextlib.suppress(aiohttp.ClientConnectionError):
            async with aiohttp.ClientSession() as session, session.get(f"{address}/live", headers=headers) as answer:
                return await answer.json() if answer.status == 200 else None
        return None

    async def tells(self, child: Child, seconds: float = 60) -> Any:
        """The live document of a worker as soon as its windows are the truth and nothing is left to count.

        Waits as long as it counts on; once it has stood still for so many seconds, says what is wrong.
        """
        document, before, end = await self.live(child), 0, time.monotonic() + seconds
        while not document or document["lag_seconds"] or self.wrong(document):
            if (counted := self._counted(document)) != before:
                before, end = counted, time.monotonic() + seconds
            if time.monotonic() > end:
                here = "gone" if child.ended else "here"
                raise AssertionError(f"worker {child.process.pid} is {here}, {self._faults(document)}")
            await asyncio.sleep(0.1)
            document = await self.live(child)
        return document

    def _counted(self, document: Any) -> int:
        return sum(document["totals"]["today"][name] for name in ("orders", "cancelled")) if document else 0

    async def counts(self, child: Child, orders: int, seconds: float = 30) -> None:
        """Wait until a worker shows so many orders."""
        found, end = None, time.monotonic() + seconds
        while found != orders:
            assert time.monotonic() < end, f"worker {child.process.pid} shows {found} orders, not {orders}"
            await asyncio.sleep(0.1)
            document = await self.live(child)
            found = document and document["totals"]["last_hour"]["orders"]

    def _faults(self, document: Any) -> str:
        """What is wrong with a document."""
        if not document:
            return "and has no document"
        wrong = [f"{start}: told {told}, true {true}" for start, (told, true) in self.wrong(document).items()]
        return "\n".join([f"{document['lag_seconds']} s behind at {document['as_of']}, with {len(wrong)} wrong windows", *wrong])

    def wrong(self, document: Any) -> dict[str, Any]:
        """The windows that are not the truth."""
        found = {}
        for window in document["windows"]:
            minute = self.truth.get(int(dt.datetime.fromisoformat(window["start"]).timestamp()), Counter())
            told = {name: window[name] for name in ("orders", "units", "cancelled")} | window["revenue"]
            true = {name: minute[name] for name in told.keys() | minute.keys()}
            if {name: told.get(name, 0) for name in true} != true:
                found[window["start"]] = told, true
        return found


@pytest.fixture
async def shop(stack: Settings, tmp_path: Path) -> AsyncIterator[Shop]:
    """A shop; its workers are ended at the end."""
    made = Shop(stack, tmp_path)
    await made.open()
    yield made
    if made.producer:
        await made.producer.stop()
    for child in made.children:
        await child.stop(grace_seconds=0)
        print(child.process.pid, "still here" if not child.ended else "ended")  # noqa: T201
        print(*made.said[child][-40:], sep="\n")  # noqa: T201 - shown where a test fails


@pytest.fixture
def until(eventually: Callable[..., Any]) -> Callable[..., Any]:
    """A waiter with a limit in seconds."""

    async def wait(condition: Callable[[], Any], seconds: float = 60) -> None:
        async def check() -> object:
            found = condition()
            return await found if asyncio.iscoroutine(found) else found

        await eventually(check, seconds)

    return wait
