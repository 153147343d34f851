"""Who is told what, when and how: pure rules."""

import datetime as dt
import zoneinfo
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as some

from soms import events
from soms.models.notification import Channel, Status
from soms.models.notification_plan import KINDS, Contact, Planned, QuietHours, plan, quiet_until

NOON = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
BOTH = frozenset({Channel.EMAIL, Channel.SMS})
ANN = UUID("018f0000-0000-7000-8000-00000000a001")
ZONE = zoneinfo.ZoneInfo("Europe/Berlin")
NIGHT = QuietHours(dt.time(22), dt.time(7))


def order(kind: type[events.OrderEvent] = events.OrderPlaced, **members: Any) -> events.OrderEvent:
    """A fact of an order."""
    known = {"order_id": uuid4(), "number": "S-1", "status": "placed", "user_id": ANN, "email": "ann@example.org", "returned": []}
    money = {"currency": "GBP", "total": 5, "lines": [], "placed_at": NOON, "at": NOON, "version": 1}
    return kind.model_validate(known | money | members)


def ann(**wishes: Any) -> Contact:
    """Ann, who has a telephone."""
    return Contact(**{"email": "ann@example.org", "user_id": ANN, "name": "Ann", "phone": "+447700900123"} | wishes)


def planned(event: events.Event, *contacts: Contact, now: dt.datetime = NOON) -> list[Planned]:
    """What is planned of an event told at noon, with mails and text messages at hand."""
    return plan(event, NOON, contacts, BOTH, now)


def shown(rows: list[Planned]) -> list[tuple[str, str]]:
    """Channels and states."""
    return [(row.channel.value, row.status.value) for row in rows]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if issubclass(kind, events.OrderEvent)])
def test_news_of_orders_follow_preferences(kind: type[events.OrderEvent]) -> None:
    """Each channel that reaches the customer has a row; what they do not want is suppressed, and nothing is kept of it."""
    rows = planned(order(kind), ann(wants=frozenset({Channel.SMS})))

    assert shown(rows) == [("email", "suppressed"), ("sms", "pending")]
    assert [(row.recipient, row.due) for row in rows] == [("ann@example.org", None), ("+447700900123", NOON)]
    assert rows[0].payload is None
    assert shown(planned(order(kind), ann())) == [("email", "pending"), ("sms", "suppressed")]


def test_all_facts_of_an_order_are_told() -> None:
    """Placed, paid, shipped, delivered, cancelled, returned."""
    assert {kind for kind in KINDS if issubclass(kind, events.OrderEvent)} == set(events.OrderEvent.__subclasses__())


def test_a_guest_gets_mails() -> None:
    """An e-mail address is enough to hear of one's order, and text messages go nowhere."""
    assert shown(planned(order(user_id=None), Contact("guest@example.org"))) == [("email", "pending")]


def test_channels_that_are_not_there_carry_nothing() -> None:
    """Without a provider there are no text messages."""
    assert [row.channel for row in plan(order(), NOON, [ann(wants=BOTH)], {Channel.EMAIL}, NOON)] == [Channel.EMAIL]


def test_imported_orders_notify_nobody() -> None:
    """What another system took is old news, whatever happens to it here."""
    assert planned(order(external_number="1001"), ann(wants=BOTH)) == []
    assert planned(order(events.OrderShipped, external_number="1001"), ann(wants=BOTH)) == []


def test_old_news_are_suppressed() -> None:
    """After a week nobody wants to hear that their order was placed: a service that starts late floods nobody."""
    assert shown(planned(order(), ann(), now=NOON + dt.timedelta(days=6, hours=23)))[0] == ("email", "pending")
    assert shown(planned(order(), ann(), now=NOON + dt.timedelta(days=7)))[0] == ("email", "suppressed")


def test_quiet_hours_hold() -> None:
    """In the night of the customer, not of the server, both channels wait for the morning."""
    now = dt.datetime(2026, 7, 1, 21, 30, tzinfo=dt.UTC)  # 22:30 in London
    contact = ann(wants=BOTH, quiet_hours=NIGHT, time_zone="Europe/London")
    rows = planned(order(), contact, now=now)

    assert shown(rows) == [("email", "held"), ("sms", "held")]
    assert {row.due for row in rows} == {dt.datetime(2026, 7, 2, 6, tzinfo=dt.UTC)}
    assert shown(planned(order(), ann(quiet_hours=NIGHT, time_zone="UTC"), now=now))[0] == ("email", "pending")


def test_mails_of_accounts_know_no_preference() -> None:
    """Welcome and reset go at once, by mail, whatever the hour; a reset that has expired does not go."""
    contact = ann(wants=frozenset(), quiet_hours=QuietHours(dt.time(0), dt.time(23, 59)))
    reset = events.UserPasswordReset(version=1, user_id=ANN, email="ann@example.org", token="t", expires_at=NOON + dt.timedelta(hours=1))
    welcome = events.UserRegistered(version=1, user_id=ANN, email="ann@example.org", name="Ann")

    assert shown(planned(reset, contact)) == shown(planned(welcome, contact)) == [("email", "pending")]
    late = planned(reset, contact, now=NOON + dt.timedelta(hours=1))
    assert (shown(late), late[0].payload) == ([("email", "suppressed")], None)


def test_low_stock_goes_to_each_of_the_staff() -> None:
    """By mail, though they want no news of orders, but not in their night; stock that is back is no matter."""
    low = events.StockLow(version=1, sku="A", name="Mug", available=1, low_threshold=2)
    team = [Contact(f"{name}@example.org", uuid4(), wants=frozenset(), phone="+441") for name in ("bob", "cid")]

    assert [(row.recipient, row.status) for row in planned(low, *team)] == [(one.email, Status.PENDING) for one in team]
    asleep = Contact("dee@example.org", uuid4(), quiet_hours=QuietHours(dt.time(11), dt.time(13)))
    assert shown(planned(low, asleep)) == [("email", "held")]
    assert planned(events.StockBack(version=1, sku="A", name="Mug", available=3, low_threshold=2), *team) == []


def test_a_payload_says_how_its_reader_reads() -> None:
    """Locale, zone, name and the event itself, as JSON."""
    event = order(number="S-7")
    payload = orjson.loads(planned(event, ann(locale="de-AT", time_zone="Europe/Vienna"))[0].payload or "")

    assert events.OrderPlaced.model_validate(payload.pop("event")) == event
    assert payload == {"name": "Ann", "locale": "de-AT", "time_zone": "Europe/Vienna", "until": None, "user_id": str(ANN)}


@pytest.mark.parametrize(
    ("start", "end", "local", "until"),
    [
        ("22:00", "07:00", "2026-07-01T21:59", None),
        ("22:00", "07:00", "2026-07-01T22:00", "2026-07-02T07:00"),
        ("22:00", "07:00", "2026-07-02T06:59", "2026-07-02T07:00"),
        ("22:00", "07:00", "2026-07-02T07:00", None),
        ("13:00", "15:00", "2026-07-01T14:00", "2026-07-01T15:00"),
        ("13:00", "15:00", "2026-07-01T15:00", None),
        ("08:00", "08:00", "2026-07-01T08:00", None),
        ("22:00", "00:00", "2026-07-01T23:00", "2026-07-02T00:00"),
        # clocks go from 02:00 to 03:00: half past two is half past three
        ("22:00", "02:30", "2026-03-28T23:00", "2026-03-29T03:30"),
        # clocks go back at 03:00: the first of the two half past twos
        ("22:00", "02:30", "2026-10-24T23:00", "2026-10-25T02:30"),
    ],
)
def test_quiet_hours_by_the_clock_on_the_wall(start: str, end: str, local: str, until: str | None) -> None:
    """Over midnight, within a day, none at all, and where clocks change."""
    zone = ann(time_zone="Europe/Berlin", quiet_hours=QuietHours(dt.time.fromisoformat(start), dt.time.fromisoformat(end)))
    berlin = lambda text: dt.datetime.fromisoformat(text).replace(tzinfo=ZONE)  # noqa: E731 - short, and used here alone
    found = quiet_until(zone, berlin(local).astimezone(dt.UTC))

    assert (found and found.astimezone(ZONE).replace(tzinfo=None)) == (until and dt.datetime.fromisoformat(until))


@given(
    some.times(),
    some.times(),
    some.integers(1_600_000_000, 1_900_000_000).map(lambda seconds: dt.datetime.fromtimestamp(seconds, dt.UTC)),
    some.sampled_from(["UTC", "Pacific/Auckland", "America/St_Johns", "Africa/Casablanca", "Australia/Lord_Howe"]),
)
def test_quiet_hours_end(start: dt.time, end: dt.time, now: dt.datetime, zone: str) -> None:
    """Whatever hours and zone: what is held is held for the future, and for little more than a day."""
    until = quiet_until(ann(quiet_hours=QuietHours(start, end), time_zone=zone), now)

    assert until is None or now - dt.timedelta(hours=1) <= until <= now + dt.timedelta(hours=26)
