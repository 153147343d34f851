"""Who is told, as far as tests of the intake know: a user service of a few people, events as they are read, and what is planned of them."""

import datetime as dt
import hashlib
from typing import Any
from uuid import UUID, uuid4

from soms import events
from soms.envelope import Envelope
from soms.errors import Unavailable
from soms.models.database import fetch
from soms.rpc.gen.soms import v1

ANN = UUID("018f0000-0000-7000-8000-00000000a001")


class Users:
    """The user service."""

    def __init__(self) -> None:
        """Know Ann, who has a telephone and wants both, and Bob, who is staff and wants news."""
        self.known: dict[str, v1.GetContactResponse] = {}
        self.know(ANN, "ann", sms=v1.ChannelPreferences(orders=True))
        self.team = [self.know(uuid4(), "bob", email=v1.ChannelPreferences(orders=True, news=True))]
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


def told(event: events.Event, event_id: UUID | None = None) -> Envelope:
    """An event as it is read off Kafka, now."""
    value = event.model_dump_json().encode()
    now = dt.datetime.now(dt.UTC)
    return Envelope(event_id or uuid4(), event.type, now, event.key, hashlib.sha256(value).digest(), event)


async def rows(columns: str = "recipient, status") -> list[tuple[Any, ...]]:
    """What is planned."""
    return [tuple(row) for row in await fetch("notifications", f"select {columns} from notification order by channel, recipient")]
