"""Sending what is due by one channel, whatever it is and however it travels: claims, attempts, deadlines, records.

A carrier knows how to hand in one message; all else is the same for mails, text messages and webhooks.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

from prometheus_client import Counter, Histogram

from soms.agents.figures import FIGURES
from soms.errors import FailedPrecondition, InvalidArgument, SomsError, Unavailable
from soms.models import notification_queue as queue
from soms.models.notification import Channel, Status
from soms.models.notification_queue import LEASE_SECONDS, Due, Outcome
from soms.pulse import Pulse

POLL_SECONDS: Final = 1.0
# messages that come within it share a claim
GAP_SECONDS: Final = 0.1
BATCH: Final = 20
PAGES: Final = 50
ATTEMPT_SECONDS: Final = 10.0
# an attempt and its record must be over before somebody else may claim the message
SPARE_SECONDS: Final = 10.0
LEAVE_SECONDS: Final = 6.0
ATTEMPTS: Final = Counter("soms_notification_attempts", "Attempts to send, by how they ended", ["channel", "outcome"], registry=FIGURES)
SECONDS: Final = Histogram("soms_notification_seconds", "Seconds from planning to acceptance", ["channel"], registry=FIGURES)
REFUSALS: Final = (FailedPrecondition, InvalidArgument)
logger = logging.getLogger(__name__)


class Carrier(Protocol):
    """A way for messages to travel; `at_once` of them may be under way."""

    @property
    def channel(self) -> Channel:
        """Which of them it is."""

    @property
    def at_once(self) -> int:
        """How many messages may be under way."""

    async def send(self, one: Due) -> str:
        """Hand the message in; what the other side answered.

        Raises FailedPrecondition or InvalidArgument for what it will never take; Unavailable, with `retry_after` where it said so, or
        anything else for what may go another time.
        """

    def settled(self, one: Due) -> None:
        """What became of the attempt is recorded, or never will be."""


class Delivery:
    """Sends what is due by a carrier; `given_up` hears when a message is not tried any more."""

    def __init__(self, carrier: Carrier, given_up: Callable[[], None]) -> None:
        """Begin with `running`."""
        self._carrier, self._given_up = carrier, given_up
        self._places = asyncio.Semaphore(carrier.at_once)
        self._leaving = False
        self.channel = carrier.channel
        self.pulse = Pulse(f"sending by {carrier.channel}", self.run_once, POLL_SECONDS, gap_seconds=GAP_SECONDS)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send beside the block; at its end finish what is under way and give the rest back."""
        async with self.pulse.running(LEAVE_SECONDS):
            try:
                yield
            finally:
                self._leaving = True

    async def run_once(self) -> None:
        """Send all that is due."""
        for _ in range(PAGES):
            until = time.monotonic() + LEASE_SECONDS - SPARE_SECONDS
            claimed = [] if self._leaving else await queue.due(self.channel, BATCH)
            if not claimed:
                break
            done = await asyncio.gather(*(self._deliver(one, until) for one in claimed))
            await queue.release([one for one, was_tried in zip(claimed, done, strict=True) if not was_tried])
        else:
            self.pulse.soon()

    async def _deliver(self, one: Due, until: float) -> bool:
        """Try once, unless it is too late for that; whether it was tried."""
        async with self._places:
            if self._leaving or time.monotonic() + ATTEMPT_SECONDS > until:
                return False
            try:
                outcome, detail, retry_seconds = await self._attempt(one)
                status = await _recorded(one, outcome, detail, retry_seconds, until + SPARE_SECONDS)
            finally:
                self._carrier.settled(one)
        ATTEMPTS.labels(self.channel, outcome).inc()
        if status is Status.SENT:
            SECONDS.labels(self.channel).observe(max(0.0, time.time() - one.created_at.timestamp()))
        elif status is Status.FAILED:
            logger.error("notification given up: %s", detail, extra={"notification": str(one.id), "channel": self.channel.value})
            self._given_up()
        return True

    async def _attempt(self, one: Due) -> tuple[Outcome, str, float]:
        """How it went, what was said, and how long the other side wants us to wait, in seconds."""
        try:
            if one.late:
                return Outcome.REFUSED, "it is of no use any more", 0
            async with asyncio.timeout(ATTEMPT_SECONDS):
                return Outcome.SENT, await self._carrier.send(one), 0
        except REFUSALS as error:
            return Outcome.REFUSED, error.message, 0
        except TimeoutError as error:
            return Outcome.FAILED, str(error) or f"no answer within {ATTEMPT_SECONDS:g} s", 0
        except Exception as error:  # noqa: BLE001 - whatever it is, it may go another time
            said = error.message if isinstance(error, SomsError) else f"{type(error).__name__}: {error}"
            logger.info("attempt failed: %s", said, extra={"notification": str(one.id), "tries": one.tries})
            return Outcome.FAILED, said, getattr(error, "retry_after", None) or 0


async def _recorded(one: Due, outcome: Outcome, detail: str, retry_seconds: float, until: float) -> Status | None:
    """Record the outcome, as long as the lease lasts: what was sent and is not recorded is sent again."""
    while True:
        try:
            return await queue.record(one, outcome, detail, retry_seconds=retry_seconds)
        except Unavailable:
            if time.monotonic() > until:
                logger.exception("an attempt is not recorded and will be made again", extra={"notification": str(one.id)})
                return None
            await asyncio.sleep(random.uniform(0.1, 0.5))  # noqa: S311 - spreads load, hides nothing
