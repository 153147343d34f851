"""What becomes of events, on a real database, with a user service that knows what a test says it knows."""

import asyncio
import datetime as dt
import hashlib
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as some

from soms import envelope, events
from soms.agents.contacts import Contacts
from soms.agents.intake import Intake
from soms.envelope import Envelope
from soms.errors import InvalidArgument, Unavailable
from soms.models.database import fetch
from soms.models.notification import Channel
from soms.rpc.gen.soms import v1

ANN = UUID("018f0000-0000-7000-8000-00000000a001")
Patch = pytest.MonkeyPatch


class Users:
    """The user service."""

    def __init__(self) -> None:
        """Know Ann, who has a telephone and wants both, and Bob, who is staff."""
        self.known: dict[str, v1.GetContactResponse] = {}
        self.know(ANN, "ann", sms=v1.ChannelPreferences(orders=True))
        self.team = [self.know(uuid4(), "bob")]
        self.away = False
        self.asked: list[v1.ListContactsRequest] = []

    def know(self, user_id: UUID, name: str, **wishes: Any) -> v1.GetContactResponse:
        """Let there be somebody."""
        user = v1.User(str(user_id), f"{name}@example.org", name.title(), "+447700900123")
        wanted = {"email": v1.ChannelPreferences(orders=True), "time_zone": "Europe/London", "locale": "en-GB"} | wishes
        self.known[str(user_id)] = v1.GetContactResponse(user, v1.Preferences(**wanted))
        return self.known[str(user_id)]

    async def list_contacts(self, message: v1.ListContactsRequest) -> v1.ListContactsResponse:
        """Those of the people who are known, or the team, if we are there."""
        self.asked.append(message)
        if self.away:
            raise Unavailable
        assert message.user_ids or message.roles == ["staff", "admin"]
        named = [self.known[one] for one in message.user_ids if one in self.known]
        return v1.ListContactsResponse(named if message.user_ids else self.team)


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


def told(event: events.Event, event_id: UUID | None = None) -> Envelope:
    """An event as it is read off Kafka, now."""
    value = event.model_dump_json().encode()
    now = dt.datetime.now(dt.UTC)
    return Envelope(event_id or uuid4(), event.type, now, event.key, hashlib.sha256(value).digest(), event)


async def rows(columns: str = "recipient, status") -> list[tuple[Any, ...]]:
    """What is planned."""
    return [tuple(row) for row in await fetch("notifications", f"select {columns} from notification order by channel, recipient")]


async def test_each_fact_is_planned_once(intake: Intake, facts: list[events.Event], woken: list[bool]) -> None:
    """Delivered three times, whoever gets it: a row for each channel and reader, and one look for what is due."""
    for fact in facts:
        envelope = told(fact)
        for _ in range(3):
            await intake.handle(envelope)
    found = await rows("event_type, channel, recipient")

    orders = [fact.type for fact in facts if isinstance(fact, events.OrderEvent)]
    assert sorted(kind for kind, channel, _ in found if channel == "sms") == sorted(orders)
    assert sorted(kind for kind, channel, _ in found if channel == "email") == sorted(fact.type for fact in facts)
    assert {recipient for kind, _, recipient in found if kind == events.StockLow.type} == {"bob@example.org"}
    assert len(woken) == len(facts)


async def test_a_twin_without_an_inbox_would_tell_again(intake: Intake, order: Any, monkeypatch: Patch) -> None:
    """Were it not for the inbox and the key of the row, a replay would be another message."""
    envelope = told(order())
    await intake.handle(envelope)
    await fetch("notifications", "delete from inbox")
    await intake.handle(envelope)
    assert len(await rows()) == 2
    await fetch("notifications", "delete from inbox")
    await fetch("notifications", "update notification set recipient = 'elsewhere ' || recipient")
    await intake.handle(envelope)
    assert len(await rows()) == 4


async def test_events_nobody_is_told_of(intake: Intake, order: Any, users: Users, woken: list[bool]) -> None:
    """Imported orders, products, unknown types, and orders of people who are no more."""
    users.known.clear()
    product = {"version": 1, "sku": "A", "name": "Mug", "available": 9, "low_threshold": 2}
    for fact in (
        told(order(external_number="7")),
        told(order()),
        told(events.StockBack(**product)),
        told(events.UserRegistered(version=1, user_id=ANN, email="ann@example.org", name="Ann")),
        Envelope(uuid4(), "soms.order.lost.v9", dt.datetime.now(dt.UTC), "k", b""),
    ):
        await intake.handle(fact)

    assert (await rows(), woken) == ([], [])


async def test_an_id_stands_for_one_event(intake: Intake, order: Any) -> None:
    """The same id with another value is refused, and ends among the dead letters."""
    event_id = uuid4()
    await intake.handle(told(order(), event_id))
    with pytest.raises(InvalidArgument, match="another value"):
        await intake.handle(told(order(total=7), event_id))


async def test_without_the_user_service_events_wait(intake: Intake, users: Users, order: Any) -> None:
    """Nobody is told against their wishes because these could not be asked for; a guest's need not be."""
    users.away = True
    envelope = told(order())
    with pytest.raises(Unavailable):
        await intake.handle(envelope)
    await intake.handle(told(order(user_id=None, email="guest@example.org")))
    assert await rows() == [("guest@example.org", "pending")]
    users.away = False
    await intake.handle(envelope)
    assert len(await rows()) == 3


async def test_preferences_of_the_moment(intake: Intake, users: Users, order: Any) -> None:
    """What the user service says when the event comes is what holds."""
    users.know(ANN, "ann", email=v1.ChannelPreferences())
    await intake.handle(told(order()))
    assert await rows("channel, status") == [("email", "suppressed"), ("sms", "suppressed")]


async def test_the_forgotten_are_forgotten(intake: Intake, order: Any) -> None:
    """When somebody asks for it, what they were told and where goes, and what they were to be told is not sent."""
    await intake.handle(told(order()))
    await intake.handle(told(events.UserAnonymised(version=2, user_id=ANN)))
    assert set(await rows("recipient, status, payload")) == {(f"anonymised:{ANN}", "suppressed", None)}


async def test_held_messages_follow_new_preferences(intake: Intake, users: Users, order: Any, woken: list[bool]) -> None:
    """Who turns text messages off at night gets none in the morning."""
    night = v1.QuietHours("00:00", "23:59")
    users.know(ANN, "ann", sms=v1.ChannelPreferences(orders=True), quiet_hours=night)
    await intake.handle(told(order()))
    before = await rows("channel, status")
    users.know(ANN, "ann")
    changed = events.UserUpdated(version=2, user_id=ANN, email="ann@example.org", name="Ann", roles=["customer"])
    await intake.handle(told(changed))
    await intake.handle(told(changed))

    assert before == [("email", "held"), ("sms", "held")]
    assert await rows("channel, status") == [("email", "pending"), ("sms", "suppressed")]


async def test_a_round_asks_once(intake: Intake, users: Users, order: Any, woken: list[bool]) -> None:
    """What arrives together is one call for all its readers, who may be unknown, and planned for each as if it had come alone."""
    bob, nobody = uuid4(), uuid4()
    users.know(bob, "bob", email=v1.ChannelPreferences())
    facts = [order(), order(user_id=bob), order(user_id=nobody), order(), order(user_id=None, email="guest@example.org")]
    outcomes = await intake._round([told(fact) for fact in facts])

    assert outcomes == [True, True, False, True, True]
    assert [set(one.user_ids) for one in users.asked] == [{str(ANN), str(bob), str(nobody)}]
    mails = await fetch("notifications", "select order_id, recipient, status from notification where channel = 'email'")
    planned = {row["order_id"]: (row["recipient"], row["status"]) for row in mails}
    assert planned == {
        facts[0].order_id: ("ann@example.org", "pending"),
        facts[1].order_id: ("bob@example.org", "suppressed"),
        facts[3].order_id: ("ann@example.org", "pending"),
        facts[4].order_id: ("guest@example.org", "pending"),
    }
    assert len(woken) == 1


async def test_lanes_share_rounds(intake: Intake, users: Users, order: Any) -> None:
    """One that comes first is handled at once; those that come while rounds are under way share the next."""
    await asyncio.gather(*(intake.handle(told(order())) for _ in range(12)))

    assert len(users.asked) == 3
    assert len(await rows()) == 24


async def test_a_copy_in_a_round_is_told_once(intake: Intake, order: Any) -> None:
    """The same event twice in a round; an id of another value in the same round is refused."""
    envelope = told(order())
    first, second, other = await intake._round([envelope, envelope, told(order(total=7), envelope.id)])

    assert (first, second) == (True, False)
    assert isinstance(other, InvalidArgument)
    assert len(await rows()) == 2


async def test_one_that_is_wrong_spoils_nothing(intake: Intake, order: Any) -> None:
    """What makes no message (an amount beyond 64 bits) and what no database keeps (NUL) are the fault of their events alone."""
    facts = [order(), order(total=1 << 70), order(user_id=None, email="a\0@example.org"), order()]
    fine, huge, unkept, last = await intake._round([told(fact) for fact in facts])

    assert (fine, last) == (True, True)
    assert isinstance(huge, InvalidArgument)
    assert isinstance(unkept, InvalidArgument)
    assert len(await rows()) == 4
    assert len(await fetch("notifications", "select from inbox")) == 2


async def test_only_who_must_ask_waits(intake: Intake, users: Users, order: Any) -> None:
    """Without the user service a guest in the same round is told; the others find that it is away."""
    users.away = True
    low = events.StockLow(version=1, sku="A", name="Mug", available=1, low_threshold=2)
    guest = order(user_id=None, email="guest@example.org")
    outcomes = await intake._round([told(order()), told(guest), told(low)])

    assert [type(one) for one in outcomes] == [Unavailable, bool, Unavailable]
    assert await rows() == [("guest@example.org", "pending")]


@given(some.data())
@hypothesis(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_event_crashes_it(intake: Intake, facts: list[events.Event], data: some.DataObject) -> None:
    """Facts whose members are whatever their types allow: planned or refused as the guard expects, never anything else."""
    fact = data.draw(some.sampled_from(facts))
    text = some.text(max_size=30)
    members = fact.model_dump() | {
        name: data.draw(some.one_of(text, some.none(), some.integers()))
        for name in data.draw(some.lists(some.sampled_from(sorted(type(fact).model_fields)), max_size=3))
    }
    try:
        event = type(fact).model_validate(members)
        head = envelope.headers(uuid4(), event.type, "/soms/test", dt.datetime.now(dt.UTC))
        read = envelope.read(head, event.key.encode(errors="replace"), event.payload.encode(errors="replace"))
        await intake.handle(read)
    except (ValueError, InvalidArgument):
        return
