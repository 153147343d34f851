"""Who is told what of an event, by which channel and when: preferences, quiet hours, and what nobody is told. Pure."""

import datetime as dt
import enum
import zoneinfo
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import UUID

import orjson

from soms.errors import InvalidArgument
from soms.events import (
    Event,
    OrderCancelled,
    OrderDelivered,
    OrderEvent,
    OrderPaid,
    OrderPlaced,
    OrderReturned,
    OrderShipped,
    StockLow,
    UserPasswordReset,
    UserRegistered,
)
from soms.finding import AnalyticsFinding
from soms.models.notification import Channel, Status

# as long as the relay may send an event again; what is older is news to nobody
FRESH: Final = dt.timedelta(days=7)


class Kind(enum.Enum):
    """Why somebody is told: their order or news of the shop (as they prefer), their account (always, at once), or their work (always)."""

    ORDERS = enum.auto()
    ACCOUNT = enum.auto()
    WORK = enum.auto()
    NEWS = enum.auto()


KINDS: Final[dict[type[Event], Kind]] = {
    OrderPlaced: Kind.ORDERS,
    OrderPaid: Kind.ORDERS,
    OrderShipped: Kind.ORDERS,
    OrderDelivered: Kind.ORDERS,
    OrderCancelled: Kind.ORDERS,
    OrderReturned: Kind.ORDERS,
    UserRegistered: Kind.ACCOUNT,
    UserPasswordReset: Kind.ACCOUNT,
    StockLow: Kind.WORK,
    AnalyticsFinding: Kind.NEWS,
}
TOLD: Final = {kind.type: why for kind, why in KINDS.items()}
# what lets its reader into an account is kept no longer than it takes to send it
SECRET: Final = {UserPasswordReset.type}


class QuietHours(NamedTuple):
    """Local times between which nothing is sent; `end` before `start` is on the next day, `end` at `start` never comes."""

    start: dt.time
    end: dt.time


@dataclass(frozen=True)
class Contact:
    """How to reach somebody; `wants` are the channels that may carry news of their orders, `news` those of the shop.

    A guest is an e-mail address.
    """

    email: str
    user_id: UUID | None = None
    name: str = ""
    phone: str | None = None
    wants: frozenset[Channel] = frozenset({Channel.EMAIL})
    news: frozenset[Channel] = frozenset()
    quiet_hours: QuietHours | None = None
    time_zone: str = "UTC"
    locale: str = "en-GB"


class Planned(NamedTuple):
    """A notification to be: `due` is when to send it, None for what is not to be sent, which has no payload either."""

    user_id: UUID | None
    channel: Channel
    recipient: str
    status: Status
    due: dt.datetime | None
    payload: str | None


def plan(event: Event, told_at: dt.datetime, contacts: Iterable[Contact], channels: Collection[Channel], now: dt.datetime) -> list[Planned]:
    """The notifications of an `event` that was told at `told_at` to these people, by those of the channels that reach them.

    Imported orders are news to nobody. What is too old is planned as suppressed. Raises InvalidArgument for what makes no message.
    """
    kind = KINDS.get(type(event))
    if kind is None or (isinstance(event, OrderEvent) and event.external_number):
        return []
    until = event.expires_at if isinstance(event, UserPasswordReset) else None
    fresh = now < (until or told_at + FRESH)
    found = []
    for contact in contacts:
        for channel, recipient in _reached(contact, kind, channels):
            status, due = standing(contact, kind, channel, now) if fresh else (Status.SUPPRESSED, None)
            payload = _payload(event, contact, until) if due else None
            found.append(Planned(contact.user_id, channel, recipient, status, due, payload))
    return found


def standing(contact: Contact, kind: Kind, channel: Channel, now: dt.datetime) -> tuple[Status, dt.datetime | None]:
    """Whether the contact is to be told by this channel, and when."""
    wanted = {Kind.ORDERS: contact.wants, Kind.NEWS: contact.news}
    if kind in wanted and channel not in wanted[kind]:
        return Status.SUPPRESSED, None
    if kind is not Kind.ACCOUNT and (end := quiet_until(contact, now)):
        return Status.HELD, end
    return Status.PENDING, now


def quiet_until(contact: Contact, now: dt.datetime) -> dt.datetime | None:
    """When the quiet hours end in which `now` is; None outside of them."""
    if contact.quiet_hours is None:
        return None
    start, end = contact.quiet_hours
    local = now.astimezone(zoneinfo.ZoneInfo(contact.time_zone))
    time = local.time()
    if not (start <= time < end if start <= end else time >= start or time < end):
        return None
    day = local.date() + dt.timedelta(days=int(time >= end))
    return dt.datetime.combine(day, end, local.tzinfo).astimezone(dt.UTC)


def _reached(contact: Contact, kind: Kind, channels: Collection[Channel]) -> list[tuple[Channel, str]]:
    reached = [(Channel.EMAIL, contact.email)]
    if contact.phone and kind is Kind.ORDERS:
        reached.append((Channel.SMS, contact.phone))
    return [(channel, recipient) for channel, recipient in reached if channel in channels]


def _payload(event: Event, contact: Contact, until: dt.datetime | None) -> str:
    """What a message is written from, later: the event, how its reader wants to read, and when it is of no use any more."""
    document = {
        "event": event.model_dump(mode="json"),
        "name": contact.name,
        "locale": contact.locale,
        "time_zone": contact.time_zone,
        "until": until,
        "user_id": contact.user_id,
    }
    try:
        return orjson.dumps(document).decode()
    except TypeError as cause:  # an amount beyond 64 bits
        raise InvalidArgument(f"nobody can be told of this: {cause}", reason="unreadable") from cause
