"""What webhooks are told of an event: a notification for each one that listens. Sends nothing."""

import datetime as dt
from collections.abc import Callable
from typing import Final

from soms.envelope import Envelope
from soms.events import OrderEvent, UserAnonymised
from soms.models import notification_queue as queue
from soms.models import webhook_delivery as webhooks
from soms.models.inbox import once_per_event

CONSUMER: Final = "webhook"


class Announcer:
    """Handles events; `wake` is called when there is something to send at once."""

    def __init__(self, wake: Callable[[], None]) -> None:
        """Plan for whoever listens."""
        self._wake = wake

    async def handle(self, envelope: Envelope) -> None:
        """Have webhooks told, once per event. Raises Unavailable without the database, and InvalidArgument for a repeated id."""
        event = envelope.event
        planned = await webhooks.plan(envelope, dt.datetime.now(dt.UTC))
        gone = event.user_id if isinstance(event, UserAnonymised) else None
        if not planned and gone is None:
            return
        order_id = event.order_id if isinstance(event, OrderEvent) else None

        async def effect() -> None:
            if gone:
                await webhooks.forget(gone)
            await queue.add(envelope.id, envelope.type, order_id, planned)

        if await once_per_event("notifications", CONSUMER, envelope, effect):
            self._wake()
