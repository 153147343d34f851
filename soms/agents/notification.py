"""The notification service: `python -m soms.agents.notification`. Tells people what concerns them, and webhooks what they asked for.

Events become rows; rows are sent. The broker is needed for the first alone, the mail server for the second alone.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

from soms.agents import notification_views, webhook_views
from soms.agents.burial import Burial, Put
from soms.agents.contacts import Contacts
from soms.agents.delivery import Carrier, Delivery
from soms.agents.email import mails
from soms.agents.intake import CONSUMER, Intake
from soms.agents.rendering import Writer
from soms.agents.sms import text_messages
from soms.agents.topics import dead_letters
from soms.agents.webhook import webhook_posts
from soms.agents.worker import Worker, run
from soms.config import Settings
from soms.discovery import discovering
from soms.events import OrderEvent, ProductEvent, UserEvent
from soms.finding import AnalyticsFinding
from soms.models import notification_queue as queue
from soms.models.database import connected, fetch
from soms.models.notification import Channel
from soms.pulse import Pulse
from soms.rpc import client
from soms.rpc.client import Services
from soms.tokens import Verifier

SEND_SECONDS: Final = 15.0
PRUNE_SECONDS: Final = 60.0


@contextlib.asynccontextmanager
async def notifying(worker: Worker) -> AsyncIterator[None]:
    """Give the worker its handlers and routes, and send beside it."""
    settings, burial = worker.settings, Burial(_letterbox(worker))
    async with contextlib.AsyncExitStack() as stack:
        directory = await stack.enter_async_context(discovering(settings))
        services = await stack.enter_async_context(client.connected(settings, directory, caller="notification"))
        await stack.enter_async_context(connected(settings, "notifications"))
        carriers = await stack.enter_async_context(carrying(settings))
        deliveries = [Delivery(carrier, burial.pulse.soon) for carrier in carriers]

        def wake(*channels: Channel) -> None:
            for delivery in deliveries:
                if not channels or delivery.channel in channels:
                    delivery.pulse.soon()

        intake = Intake(Contacts(services.as_service.users), {carrier.channel for carrier in carriers}, wake)
        _listen(worker, services, intake)
        verifier = Verifier(settings)
        worker.routes += [*notification_views.routes(verifier, wake), *webhook_views.routes(verifier, private=settings.webhook_private)]
        for pulse in (burial.pulse, Pulse("pruning notifications", queue.prune, PRUNE_SECONDS)):
            await stack.enter_async_context(pulse.running())
        for delivery in deliveries:
            await stack.enter_async_context(delivery.running())
        stack.push_async_callback(intake.rounds.drained)
        yield


@contextlib.asynccontextmanager
async def carrying(settings: Settings) -> AsyncIterator[Sequence[Carrier]]:
    """The channels that the settings name."""
    writer = Writer(settings)
    async with mails(settings, writer) as mail, text_messages(settings, writer) as sms, webhook_posts(settings) as webhooks:
        yield [mail, *([sms] if sms else []), webhooks]


def _listen(worker: Worker, services: Services, intake: Intake) -> None:
    async def there() -> bool:
        await fetch("notifications", "select 1")
        return await services.probes["user"]()

    for kind in (OrderEvent, ProductEvent, UserEvent, AnalyticsFinding):
        worker.consume(kind.topic, intake.handle, probe=there)


def _letterbox(worker: Worker) -> Put:
    async def put(key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> None:
        async with asyncio.timeout(SEND_SECONDS):
            await worker.app.producer.send_and_wait(dead_letters(CONSUMER), key, value, None, None, headers)

    return put


if __name__ == "__main__":
    run("notification", notifying)
