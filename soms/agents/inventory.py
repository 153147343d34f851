"""The inventory service: `python -m soms.agents.inventory`. Stock follows orders; stock held for orders that never came is let go."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Final

from soms.agents.resolving import Resolving
from soms.agents.worker import Worker, run
from soms.discovery import discovering
from soms.envelope import Envelope
from soms.errors import Unavailable
from soms.events import OrderEvent
from soms.models.database import connected, fetch, transaction
from soms.models.fulfilment import Settlement, settle
from soms.models.inbox import receive
from soms.rounds import Rounds
from soms.rpc import client

CONSUMER: Final = "inventory"
LEAVE_SECONDS: Final = 2.0
Told = tuple[Envelope, Settlement]


class Inventory:
    """Brings stock to where orders stand, once per event. Events that arrive together share a transaction."""

    def __init__(self) -> None:
        """Needs connections to schema `products`."""
        self.rounds: Rounds[Told, bool] = Rounds(self._round)

    async def handle(self, envelope: Envelope) -> None:
        """Settle the stock of an order; imported ones have none here.

        Raises ValidationError for an event that no order can be in, InvalidArgument for a repeated id, Unavailable.
        """
        event = envelope.event
        if isinstance(event, OrderEvent) and event.external_number is None:
            await self.rounds.submit((envelope, Settlement.of(event)))

    async def _round(self, told: Sequence[Told]) -> list[bool | Exception]:
        """Together; where that fails, each alone, so that one that is wrong spoils nothing for the others."""
        try:
            return list(await _together(told))
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome of the one that caused it
            return [error] if len(told) == 1 else [outcome for one in told for outcome in await self._round([one])]


async def _together(told: Sequence[Told]) -> Sequence[bool | Exception]:
    async with transaction("products"):
        outcomes = await receive("products", CONSUMER, [envelope for envelope, _ in told])
        await settle(settlement for (_, settlement), new in zip(told, outcomes, strict=True) if new is True)
    return outcomes


async def there() -> bool:
    """Whether the database answers."""
    return bool(await fetch("products", "select 1"))


@contextlib.asynccontextmanager
async def inventory(worker: Worker) -> AsyncIterator[None]:
    """Give the worker its handler, and resolve stale reservations beside it."""
    settings = worker.settings
    async with (
        discovering(settings) as directory,
        client.connected(settings, directory, caller=CONSUMER) as services,
        connected(settings, "products"),
    ):
        shelves = Inventory()
        worker.consume(OrderEvent.topic, shelves.handle, probe=there)
        async with Resolving(services.as_service.orders).pulse.running(LEAVE_SECONDS):
            yield
        await shelves.rounds.drained()


if __name__ == "__main__":
    run(CONSUMER, inventory)
