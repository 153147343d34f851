"""The one guard that every handler runs under: each event ends handled, ignored, among the dead letters, or abandoned. Knows no table.

What can never work goes to the dead letters at once, what fails for its own reasons after a few attempts. When what the handler
needs is away, nobody is to blame: the event waits at its place, however long that takes, and so do those behind it in its
partition, for their order matters. A worker that has to leave abandons what it has not finished; it comes again, wherever that is.
"""

import asyncio
import logging
import random
import time
import weakref
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from faust.streams import _current_event
from faust.types import EventT
from pydantic import ValidationError

from soms import envelope
from soms import logging as soms_logging
from soms.agents.deadletter import DeadLetters, Failure, Letter, came
from soms.agents.figures import ENDED, RETRIED, SECONDS
from soms.agents.strict import StrictConsumer
from soms.envelope import Envelope
from soms.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted, SomsError, Unavailable
from soms.events import traceparent

Handler = Callable[[Envelope], Awaitable[None]]
Probe = Callable[[], Awaitable[bool]]
# what may mean that something is away; TimeoutError and ConnectionError are kinds of OSError
AWAY: Final = (Unavailable, DeadlineExceeded, ResourceExhausted, OSError)
HOPELESS: Final = (InvalidArgument, ValidationError)
PROBE_SECONDS: Final = 3.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Patience:
    """How long to go on with one event. Pauses double from the first to the longest, each shortened by chance (full jitter)."""

    attempts: int = 5
    attempt_seconds: float = 3.0
    first_pause_seconds: float = 0.25
    longest_pause_seconds: float = 5.0

    def pause_seconds(self, failures: int) -> float:
        """How long to wait after so many failed attempts."""
        longest = min(self.first_pause_seconds * 2 ** min(failures - 1, 20), self.longest_pause_seconds)
        return random.uniform(0, longest)  # noqa: S311 - spreads load, hides nothing


class AbandonedError(Exception):
    """The worker has to leave, or a rebalance has overtaken the event."""


class Guard:
    """Brings events of one topic to their end. Without a `probe` of what the handler needs, Unavailable alone means that it is away."""

    def __init__(self, consumer: StrictConsumer, letters: DeadLetters, handler: Handler, probe: Probe | None, patience: Patience) -> None:
        """`probe` tells, or raises where it cannot tell, whether all that the handler needs is there."""
        self._consumer, self._letters = consumer, letters
        self._handler, self._probe, self._patience = handler, probe, patience
        self._waiting = False
        self.attempts = 0

    async def bring_all_to_end(self, events: Sequence[EventT[Any]]) -> None:
        """Handle events that were taken, one after the other; never raises an Exception."""
        for event in events:
            await self.bring_to_end(event)

    async def bring_to_end(self, event: EventT[Any]) -> None:
        """Handle one event that was taken; never raises an Exception."""
        message, began = event.message, time.monotonic()
        _current_event.set(weakref.ref(event))  # for tables: it is of a lane's own task
        try:
            outcome = await self._outcome(event)
        except AbandonedError:
            outcome = "abandoned"
            self._consumer.abandon(message)
        except BaseException:
            self._consumer.abandon(message)
            raise
        else:
            self._consumer.finish(message)
        ENDED.labels(message.topic, outcome).inc()
        SECONDS.labels(message.topic).observe(time.monotonic() - began)

    async def _outcome(self, event: EventT[Any]) -> str:
        message = event.message
        try:
            found = envelope.read(came(message), message.key, message.value)
        except InvalidArgument as error:
            return await self._give_up(event, Failure(error.reason, error.message, 0))
        traceparent.set(found.traceparent)
        soms_logging.set_request_id(str(found.id))
        if found.event is None:
            logger.debug("no such type is known, ignored", extra={"type": found.type})
            return "ignored"
        if failure := await self._failure(event, found):
            return await self._give_up(event, failure)
        logger.debug("handled", extra={"type": found.type, "key": found.key})
        return "handled"

    async def _failure(self, event: EventT[Any], found: Envelope) -> Failure | None:
        """Try until it works (None) or the event is to be given up."""
        failures = blamed = 0
        while blamed < self._patience.attempts:
            self._stay(event)
            try:
                async with asyncio.timeout(self._patience.attempt_seconds):
                    await self._handler(found)
            except HOPELESS as error:
                return Failure(getattr(error, "reason", "validation_failed"), str(error), failures + 1)
            except Exception as error:  # noqa: BLE001 - whatever it is, the event is to come to an end
                failures += 1
                away = await self._is_away(error)
                blamed += not away
                last = error
                self._tell(found, error, failures, away=away)
            else:
                self._tell_back()
                return None
            finally:
                self.attempts += 1
            if blamed < self._patience.attempts:
                RETRIED.labels(event.message.topic, "away" if away else "failed").inc()
                await self._pause(event, failures)
        reason = last.reason if isinstance(last, SomsError) else "timed_out" if isinstance(last, TimeoutError) else "failed"
        return Failure(reason, f"{type(last).__name__}: {last}", failures)

    async def _is_away(self, error: Exception) -> bool:
        """Whether the handler failed because of something that it needs."""
        if not isinstance(error, AWAY):
            return False
        if self._probe is None:
            return isinstance(error, Unavailable)
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return not await self._probe()
        except Exception:  # noqa: BLE001 - it cannot tell, so it is not there
            return True

    async def _give_up(self, event: EventT[Any], failure: Failure, record: Letter | None = None) -> str:
        """Put the event, or one `record` of it, among the dead letters, however long that takes: without them it would be lost."""
        letter = record or event.message
        sent, failures = False, 0
        while not sent:
            self._stay(event)
            try:
                await self._letters.put(letter, failure)
                sent = True
            except Exception as error:  # noqa: BLE001 - the broker is away or refuses; the event stays
                failures += 1
                logger.warning("cannot keep a dead letter: %s", error)
                await self._pause(event, failures)
            finally:
                self.attempts += 1
        origin = f"{letter.topic}/{letter.partition}/{letter.offset}"
        logger.error("event given up: %s", failure.error, extra={"reason": failure.reason, "origin": origin, "attempts": failure.attempts})
        return "dead_lettered"

    def _stay(self, event: EventT[Any]) -> None:
        if self._consumer.draining.is_set() or not self._consumer.holds(event.message):
            raise AbandonedError

    async def _pause(self, event: EventT[Any], failures: int) -> None:
        """Wait, but not when the worker has to leave."""
        try:
            async with asyncio.timeout(self._patience.pause_seconds(failures)):
                await self._consumer.draining.wait()
        except TimeoutError:
            return

    def _tell(self, found: Envelope, error: Exception, failures: int, *, away: bool) -> None:
        """Log the first failure of an event, and the first that comes from something that is away."""
        if away and not self._waiting:
            logger.warning("events wait for what their handler needs: %s: %s", type(error).__name__, error)
        elif not away and failures == 1:
            logger.warning("attempt failed: %s: %s", type(error).__name__, error, extra={"type": found.type, "key": found.key})
        self._waiting |= away

    def _tell_back(self) -> None:
        if self._waiting:
            logger.info("what the handler needs is back")
        self._waiting = False
