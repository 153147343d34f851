"""What becomes of events, on a real database, with a user service that knows what a test says it knows."""

import datetime as dt
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as some

from soms import envelope, events
from soms.agents.intake import Intake
from soms.envelope import Envelope
from soms.errors import InvalidArgument, Unavailable
from soms.models.database import fetch
from soms.rpc.gen.soms import v1
from tests.agents.notification.people import ANN, Users, rows, told

Patch = pytest.MonkeyPatch


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
