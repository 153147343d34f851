"""What the notification service makes of events: rows of who is told what, people and webhooks alike. Sends nothing.

Events that arrive together share one look at who is to be told and one transaction; an event alone waits for nobody.
"""

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeVar
from uuid import UUID

from soms.agents.contacts import Contacts
from soms.envelope import Envelope
from soms.errors import InvalidArgument, SomsError, Unavailable
from soms.events import OrderEvent, UserAnonymised, UserEvent, UserUpdated
from soms.models import notification_queue as queue
from soms.models import webhook_delivery as webhooks
from soms.models.database import transaction
from soms.models.inbox import once_per_event, receive
from soms.models.notification import Channel, Status
from soms.models.notification_plan import KINDS, Contact, Kind, Planned, plan
from soms.models.notification_queue import Told
from soms.rounds import Rounds
from soms.subscription import HEARD

CONSUMER: Final = "notification"
# what is told to those who look after the shop
TEAM: Final = frozenset({Kind.WORK, Kind.NEWS})
News = tuple[Envelope, Told]
Answer = TypeVar("Answer")


class Intake:
    """Handles events; `wake` is called when there is something to send at once, with the channels that are to send it if known."""

    def __init__(self, contacts: Contacts, channels: Collection[Channel], wake: Callable[..., None]) -> None:
        """Plan for people by `channels`, and for webhooks. Needs connections to schema `notifications`."""
        self._contacts, self._channels, self._wake = contacts, channels, wake
        self.rounds: Rounds[Envelope, bool] = Rounds(self._round)

    async def handle(self, envelope: Envelope) -> None:
        """Have people and webhooks told, once per event.

        Raises SomsError where it cannot be known whom, and InvalidArgument for a repeated id and for what makes no message.
        """
        event = envelope.event
        if isinstance(event, UserAnonymised):
            await self._forget(envelope, event.user_id)
        elif isinstance(event, UserUpdated):
            await self._reconsider(envelope, event.user_id)
        elif event and (type(event) in KINDS or envelope.type in HEARD):
            await self.rounds.submit(envelope)

    async def _round(self, envelopes: Sequence[Envelope]) -> list[bool | Exception]:
        """For each whether it is told of now: False if it was before, or if it is news to nobody."""
        planned = await self._planned(envelopes)
        news = [(envelope, one) for envelope, one in zip(envelopes, planned, strict=True) if isinstance(one, Told) and one.planned]
        outcomes = iter(await self._keep(news)) if news else iter(())
        return [one if isinstance(one, Exception) else next(outcomes) if one.planned else False for one in planned]

    async def _keep(self, news: Sequence[News]) -> list[bool | Exception]:
        """Together; where that fails, each alone, so that one that is wrong spoils nothing for the others."""
        try:
            return list(await self._together(news))
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome of the one that caused it
            return [error] if len(news) == 1 else [outcome for one in news for outcome in await self._keep([one])]

    async def _together(self, news: Sequence[News]) -> Sequence[bool | InvalidArgument]:
        async with transaction("notifications"):
            outcomes = await receive("notifications", CONSUMER, [envelope for envelope, _ in news])
            new = [told for (_, told), outcome in zip(news, outcomes, strict=True) if outcome is True]
            await queue.add(*new)
        if soon := {one.channel for told in new for one in told.planned if one.status is Status.PENDING}:
            self._wake(*soon)
        return outcomes

    async def _planned(self, envelopes: Sequence[Envelope]) -> list[Told | Exception]:
        """What is to be told of each event; without the user service only those suffer who have to ask it."""
        now, team, people = dt.datetime.now(dt.UTC), await self._team(envelopes), await self._people(envelopes)
        planned: list[Told | Exception] = []
        for envelope, heard in zip(envelopes, await webhooks.plan(envelopes, now), strict=True):
            try:
                readers = _readers(envelope, team, people)
                told = plan(envelope.event, envelope.time, readers, self._channels, now) if envelope.event else []
                planned.append(_told(envelope, [*heard, *told]))
            except (SomsError, ValueError) as error:
                planned.append(error)
        return planned

    async def _team(self, envelopes: Sequence[Envelope]) -> list[Contact] | SomsError:
        """Those who look after the shop, if it is about their work or news of it."""
        try:
            return await self._contacts.staff() if any(_kind(one) in TEAM for one in envelopes) else []
        except SomsError as error:
            return error

    async def _people(self, envelopes: Sequence[Envelope]) -> dict[UUID, Contact] | SomsError:
        """Those whom the events concern, less those who are no more."""
        try:
            return await self._contacts.of({user_id for one in envelopes if (user_id := _concerned(one))})
        except SomsError as error:
            return error

    async def _forget(self, envelope: Envelope, user_id: UUID) -> None:
        """Erase what was and would be told of somebody, and where; have webhooks do so too."""
        [heard] = await webhooks.plan([envelope], dt.datetime.now(dt.UTC))

        async def effect() -> None:
            await queue.forget(user_id)
            await webhooks.forget(user_id)
            await queue.add(_told(envelope, heard))

        if await once_per_event("notifications", CONSUMER, envelope, effect) and heard:
            self._wake(Channel.WEBHOOK)

    async def _reconsider(self, envelope: Envelope, user_id: UUID) -> None:
        """Let what is held follow the new preferences."""
        now = dt.datetime.now(dt.UTC)
        [heard], held = await webhooks.plan([envelope], now), await queue.held(user_id)
        contact = (await self._contacts.of([user_id])).get(user_id) if held else None

        async def effect() -> None:
            if contact:
                await queue.replan(held, contact, now)
            await queue.add(_told(envelope, heard))

        if (contact or heard) and await once_per_event("notifications", CONSUMER, envelope, effect):
            self._wake()


def _kind(envelope: Envelope) -> Kind | None:
    return KINDS.get(type(envelope.event)) if envelope.event else None


def _concerned(envelope: Envelope) -> UUID | None:
    """Whom the user service has to be asked about; guests are an address."""
    event = envelope.event
    if _kind(envelope) is None or (isinstance(event, OrderEvent) and event.external_number):
        return None
    return event.user_id if isinstance(event, OrderEvent | UserEvent) else None


def _readers(envelope: Envelope, team: list[Contact] | SomsError, people: dict[UUID, Contact] | SomsError) -> list[Contact]:
    """Whom the event concerns. What concerns somebody who is no more, concerns nobody."""
    event, user_id = envelope.event, _concerned(envelope)
    if _kind(envelope) in TEAM:
        return _known(team)
    if user_id:
        found = _known(people).get(user_id)
        return [found] if found else []
    return [Contact(event.email)] if isinstance(event, OrderEvent) and event.user_id is None else []


def _known(answer: Answer | SomsError) -> Answer:
    if isinstance(answer, SomsError):
        raise answer
    return answer


def _told(envelope: Envelope, planned: Sequence[Planned]) -> Told:
    order_id = envelope.event.order_id if isinstance(envelope.event, OrderEvent) else None
    return Told(envelope.id, envelope.type, order_id, planned)
