"""What the notification service makes of an event: rows of who is told what, or news of somebody who is told things. Sends nothing."""

import datetime as dt
from collections.abc import Awaitable, Callable, Collection
from typing import Final
from uuid import UUID

from soms.agents.contacts import Contacts
from soms.envelope import Envelope
from soms.events import Event, OrderEvent, UserAnonymised, UserEvent, UserUpdated
from soms.models import notification_queue as queue
from soms.models.inbox import once_per_event
from soms.models.notification import Channel, Status
from soms.models.notification_plan import KINDS, Contact, Kind, plan

CONSUMER: Final = "notification"


class Notifier:
    """Handles events; `wake` is called when there is something to send at once, with the channels that are to send it if known."""

    def __init__(self, contacts: Contacts, channels: Collection[Channel], wake: Callable[..., None]) -> None:
        """Plan for `channels` alone."""
        self._contacts, self._channels, self._wake = contacts, channels, wake

    async def handle(self, envelope: Envelope) -> None:
        """Have people told, once per event. Raises SomsError where it cannot be known whom, and InvalidArgument for a repeated id."""
        event = envelope.event
        if isinstance(event, UserAnonymised):
            await self._once(envelope, lambda: queue.forget(event.user_id))
        elif isinstance(event, UserUpdated):
            await self._reconsider(envelope, event.user_id)
        elif event and type(event) in KINDS:
            await self._tell(envelope, event)

    async def _tell(self, envelope: Envelope, event: Event) -> None:
        planned = plan(event, envelope.time, await self._people(event), self._channels, dt.datetime.now(dt.UTC))
        order_id = event.order_id if isinstance(event, OrderEvent) else None
        soon = {one.channel for one in planned if one.status is Status.PENDING}
        if await self._once(envelope, lambda: queue.add(envelope.id, envelope.type, order_id, planned)) and soon:
            self._wake(*soon)

    async def _people(self, event: Event) -> list[Contact]:
        """Whom the event concerns. What concerns somebody who is no more, concerns nobody."""
        if KINDS[type(event)] in {Kind.WORK, Kind.NEWS}:
            return await self._contacts.staff()
        if isinstance(event, OrderEvent) and event.user_id is None:
            return [Contact(event.email)]
        found = await self._contacts.of(event.user_id) if isinstance(event, OrderEvent | UserEvent) and event.user_id else None
        return [found] if found else []

    async def _reconsider(self, envelope: Envelope, user_id: UUID) -> None:
        """Let what is held follow the new preferences."""
        rows = await queue.held(user_id)
        contact = await self._contacts.of(user_id) if rows else None
        if contact and await self._once(envelope, lambda: queue.replan(rows, contact, dt.datetime.now(dt.UTC))):
            self._wake()

    @staticmethod
    async def _once(envelope: Envelope, effect: Callable[[], Awaitable[None]]) -> bool:
        return await once_per_event("notifications", CONSUMER, envelope, effect)
