"""How people are reached, as the user service tells. Knows no event."""

import datetime as dt
from collections.abc import Collection
from uuid import UUID

from soms.models.notification import Channel
from soms.models.notification_plan import Contact, QuietHours
from soms.rpc.gen.soms import v1


class Contacts:
    """Asks the user service, in the name of this one."""

    def __init__(self, users: v1.UserServiceStub) -> None:
        """`users` is called as a service."""
        self._users = users

    async def of(self, user_ids: Collection[UUID]) -> dict[UUID, Contact]:
        """How to reach these people, less those who are no more. Raises SomsError where the service does not answer."""
        if not user_ids:
            return {}
        answer = await self._users.list_contacts(v1.ListContactsRequest(user_ids=[str(one) for one in user_ids]))
        return {found.user_id: found for found in map(contact, answer.contacts) if found.user_id}

    async def staff(self) -> list[Contact]:
        """How to reach those who look after the shop. Raises SomsError where the service does not answer."""
        answer = await self._users.list_contacts(v1.ListContactsRequest(["staff", "admin"]))
        return [contact(one) for one in answer.contacts]


def contact(message: v1.GetContactResponse) -> Contact:
    """The contact in an answer."""
    user, wishes = message.user or v1.User(), message.preferences or v1.Preferences()
    carried = {Channel.EMAIL: wishes.email, Channel.SMS: wishes.sms}
    quiet = wishes.quiet_hours
    return Contact(
        email=user.email,
        user_id=UUID(user.id),
        name=user.name,
        phone=user.phone,
        wants=frozenset(channel for channel, wish in carried.items() if wish and wish.orders),
        news=frozenset(channel for channel, wish in carried.items() if wish and wish.news),
        quiet_hours=QuietHours(dt.time.fromisoformat(quiet.from_), dt.time.fromisoformat(quiet.to)) if quiet else None,
        time_zone=wishes.time_zone or "UTC",
        locale=wishes.locale or "en-GB",
    )
