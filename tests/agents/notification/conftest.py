"""A real mailbox, facts to tell of, and messages that are due."""

import asyncio
import datetime as dt
import email
import email.policy
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import orjson
import pytest

from soms import events
from soms.agents.contacts import Contacts
from soms.agents.intake import Intake
from soms.agents.rendering import Writer
from soms.config import Settings
from soms.finding import AnalyticsFinding
from soms.local import ports
from soms.local.mailbox import Mailbox
from soms.models import notification_queue as queue
from soms.models.database import fetch, transaction
from soms.models.notification import Channel
from soms.models.notification_plan import Contact, plan
from soms.models.notification_queue import Due
from tests.agents.notification.people import Users

ANN = UUID("018f0000-0000-7000-8000-00000000a001")
NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
BOTH = frozenset({Channel.EMAIL, Channel.SMS})
Order = Callable[..., events.OrderEvent]
MakeDue = Callable[..., Due]
Do = Callable[[Due], Awaitable[str]]


class Post:
    """The mailbox, as whoever reads it."""

    def __init__(self, engine: Mailbox, session: aiohttp.ClientSession) -> None:
        """Read over `session`."""
        self.engine, self._session = engine, session
        self.smtp = f"127.0.0.1:{engine.smtp_port}"
        self.sms_url = f"{engine.address.replace('://', '://AC1:secret@')}?from=%2B15005550006"

    def mails(self) -> list[EmailMessage]:
        """All mails as a mail client reads them, oldest first."""
        files = sorted(self.engine.folder.glob("*.eml"))
        return [email.message_from_bytes(file.read_bytes(), policy=email.policy.default) for file in files]  # type: ignore[misc]

    async def texts(self) -> list[dict[str, Any]]:
        """All text messages, oldest first."""
        async with self._session.get("/sms") as answer:
            return list(reversed(await answer.json()))

    def clear(self) -> None:
        """Throw everything away."""
        for file in self.engine.folder.iterdir():
            file.unlink()


@pytest.fixture(scope="session")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mailbox]:
    """A mailbox that listens."""
    mailbox = Mailbox(tmp_path_factory.mktemp("mailbox"), *ports.choose(2))
    async with mailbox.running():
        yield mailbox


@pytest.fixture
async def post(engine: Mailbox) -> AsyncIterator[Post]:
    """An empty one."""
    async with aiohttp.ClientSession(engine.address) as session:
        found = Post(engine, session)
        found.clear()
        yield found


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of a shop on the internet."""
    return Settings(home=Path(tmp_path_factory.mktemp("shop")), public_url="https://shop.example/")


@pytest.fixture
def writer(stack: Settings) -> Writer:
    """Writes as the shop does."""
    return Writer(stack)


@pytest.fixture(scope="session")
def order() -> Order:
    """`order(OrderShipped, tracking="1")`: a fact of an order of Ann's, unless said."""

    def make(kind: type[events.OrderEvent] = events.OrderPlaced, **members: Any) -> events.OrderEvent:
        lines = [{"sku": "MUG-BLUE", "name": "Blue mug", "quantity": 1200, "unit_price": 850}]
        known = {"order_id": uuid4(), "number": "S-100001", "status": "placed", "user_id": ANN, "email": "ann@example.org", "returned": []}
        money = {"currency": "GBP", "total": 1020000, "lines": lines, "placed_at": NOON, "at": NOON, "version": 1}
        return kind.model_validate(known | money | members)

    return make


@pytest.fixture(scope="session")
def due() -> MakeDue:
    """`due(event, Channel.SMS, locale="de")`: what is to be sent of an event to Ann, or to a `contact`."""

    def make(event: events.Event, channel: Channel = Channel.EMAIL, contact: Contact | None = None, **members: Any) -> Due:
        known = {"email": "ann@example.org", "user_id": ANN, "name": "Ann", "phone": "+447700900123", "wants": BOTH}
        reader = contact or Contact(**known | {"news": frozenset({Channel.EMAIL})} | members)
        now = dt.datetime.now(dt.UTC)
        (row,) = [row for row in plan(event, now, [reader], BOTH, now) if row.channel is channel]
        return Due(uuid4(), uuid4(), event.type, None, row.channel, row.recipient, 1, 0, orjson.loads(row.payload or ""), now)

    return make


@pytest.fixture(scope="session")
def facts(order: Order) -> list[events.Event]:
    """One of each fact that people are told of."""
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    returned = [{"sku": "MUG-BLUE", "quantity": 2}]
    return [
        order(),
        order(events.OrderPaid, status="paid", reference="TX-7"),
        order(events.OrderShipped, status="shipped", carrier="DHL", tracking="JD0002"),
        order(events.OrderDelivered, status="delivered"),
        order(events.OrderCancelled, status="cancelled", reason="changed my mind"),
        order(events.OrderReturned, status="returned", returned=returned, reason="too blue"),
        events.UserRegistered(version=1, user_id=ANN, email="ann@example.org", name="Ann"),
        events.UserPasswordReset(version=1, user_id=ANN, email="ann@example.org", token="T0ken-" + "x" * 37, expires_at=soon),
        events.StockLow(version=1, sku="MUG-BLUE", name="Blue mug", available=3, low_threshold=5),
        finding(),
    ]


def finding() -> AnalyticsFinding:
    """A product that suddenly sells."""
    figures = {"start": NOON, "seconds": 86400, "expected": 0.2, "actual": 12, "message": "A <b>mug</b> suddenly sells."}
    return AnalyticsFinding(version=1, finding_id=uuid4(), kind="high", metric="product", subject="MUG-BLUE", **figures)


async def fine(_: Due) -> str:
    """All is well, after the others had their turn."""
    await asyncio.sleep(0)
    return "250 OK"


class Carrying:
    """A carrier that does what a test says."""

    channel = Channel.EMAIL

    def __init__(self, do: Do = fine, at_once: int = 8) -> None:
        self.do, self.at_once = do, at_once
        self.sent: list[UUID] = []
        self.under_way = self.most = 0

    async def send(self, one: Due) -> str:
        """Note it, and do as told."""
        self.sent.append(one.id)
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            return await self.do(one)
        finally:
            self.under_way -= 1

    def settled(self, one: Due) -> None:
        """Nothing."""


@pytest.fixture(scope="session")
def carrying() -> type[Carrying]:
    """Makes carriers of mails that do what a test says, fine unless said."""
    return Carrying


@pytest.fixture
def add(order: Any) -> Callable[..., Awaitable[None]]:
    """Has so many mails due, one unless said."""

    async def make(number: int = 1, **members: Any) -> None:
        now = dt.datetime.now(dt.UTC)
        for _ in range(number):
            fact = order(at=now, **members)
            async with transaction("notifications"):
                planned = plan(fact, now, [Contact("ann@example.org", fact.user_id, "Ann")], {Channel.EMAIL}, now)
                await queue.add(queue.Told(uuid4(), fact.type, fact.order_id, planned))

    return make


@pytest.fixture
def states() -> Callable[[], Awaitable[Counter[str]]]:
    """How many notifications stand where, when asked."""

    async def ask() -> Counter[str]:
        return Counter(row["status"] for row in await fetch("notifications", "select status from notification"))

    return ask


@pytest.fixture
def users() -> Users:
    """Who is known."""
    return Users()


@pytest.fixture
def woken() -> list[bool]:
    """How often there was something to send."""
    return []


@pytest.fixture
def intake(database: None, users: Users, woken: list[bool]) -> Intake:
    """The one that plans for mails and text messages."""
    return Intake(Contacts(users), {Channel.EMAIL, Channel.SMS}, lambda *_: woken.append(True))  # type: ignore[arg-type]
