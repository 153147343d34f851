"""What the guard makes of each failure: who is to blame, how long it goes on, when it leaves. No broker: letters are kept here."""

import asyncio
import datetime as dt
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from faust.types.tuples import TP, Message

from soms import envelope
from soms.agents.deadletter import Failure
from soms.agents.guard import Guard, Patience
from soms.errors import Aborted, DeadlineExceeded, InvalidArgument, NotFound, Unavailable
from soms.events import StockLow

QUICK = Patience(attempt_seconds=0.05, first_pause_seconds=0.001, longest_pause_seconds=0.002)


class Consumer:
    """What the guard needs of a consumer."""

    def __init__(self) -> None:
        self.draining, self.held = asyncio.Event(), True
        self.ended: list[str] = []

    def holds(self, _message: Message) -> bool:
        """Whether it is still ours."""
        return self.held

    def finish(self, _message: Message) -> None:
        """Done."""
        self.ended.append("finished")

    def abandon(self, _message: Message) -> None:
        """Left."""
        self.ended.append("abandoned")


class Letters:
    """Keeps dead letters, if it can."""

    def __init__(self) -> None:
        self.kept: list[Failure] = []
        self.refusals: deque[Exception] = deque()

    async def put(self, _message: Message, failure: Failure) -> None:
        """Keep one."""
        if self.refusals:
            raise self.refusals.popleft()
        self.kept.append(failure)


class Event:
    """An event as Faust hands it over."""

    def __init__(self) -> None:
        told = StockLow(version=1, sku="a", name="A", available=1, low_threshold=2)
        headers = envelope.headers(uuid.uuid4(), told.type, "/test", dt.datetime.now(dt.UTC))
        value = told.payload.encode()
        self.message = Message("topic", 0, 0, 0.0, 0, headers, b"a", value, None, tp=TP("topic", 0))


class Trial:
    """A guard with a handler that fails as told, again and again or so many times."""

    def __init__(self, *errors: Exception, for_ever: bool = False, probe: Callable[[], Any] | None = None) -> None:
        self.consumer, self.letters = Consumer(), Letters()
        self.errors, self.for_ever, self.calls = deque(errors), for_ever, 0
        self.guard = Guard(self.consumer, self.letters, self.handle, probe, QUICK)  # type: ignore[arg-type]

    async def handle(self, _envelope: envelope.Envelope) -> None:
        """Fail, if told to."""
        self.calls += 1
        if self.errors:
            error = self.errors[0] if self.for_ever else self.errors.popleft()
            if isinstance(error, TimeoutError):
                await asyncio.sleep(10)
            raise error

    async def run(self) -> None:
        """Bring an event to its end."""
        async with asyncio.timeout(5):
            await self.guard.bring_to_end(Event())  # type: ignore[arg-type]


async def reached(condition: Callable[[], bool]) -> None:
    """Let other tasks run until this holds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0)


async def there() -> bool:
    """The dependency answers."""
    return True


async def away() -> bool:
    """It does not."""
    raise OSError


@pytest.mark.parametrize("error", [RuntimeError("x"), Aborted(), NotFound(), TimeoutError(), DeadlineExceeded(), OSError()])
async def test_what_may_work_later_is_tried_again(error: Exception) -> None:
    """Four failures are followed by another attempt, a fifth by a dead letter that tells of it."""
    good, bad = Trial(*[error] * 4), Trial(error, for_ever=True)
    await good.run()
    await bad.run()

    assert (good.calls, good.letters.kept, good.consumer.ended) == (5, [], ["finished"])
    assert (bad.calls, bad.consumer.ended) == (5, ["finished"])
    assert bad.letters.kept[0].attempts == 5
    assert bad.letters.kept[0].error.startswith(type(error).__name__)


async def test_what_can_never_work_is_given_up_at_once() -> None:
    """One attempt, then a dead letter with the reason."""
    trial = Trial(InvalidArgument("no such thing", reason="event_id_reused"))
    await trial.run()

    assert trial.letters.kept == [Failure("event_id_reused", "no such thing", 1)]
    assert trial.calls == 1


@pytest.mark.parametrize(
    ("error", "probe"), [(Unavailable(), None), (Unavailable(), away), (TimeoutError(), away), (ConnectionError(), away)]
)
async def test_what_fails_as_something_is_away_waits(error: Exception, probe: Any) -> None:
    """However often that is: no dead letter; it is handled as soon as that is back."""
    trial = Trial(*[error] * 30, probe=probe)
    await trial.run()

    assert (trial.calls, trial.letters.kept, trial.consumer.ended) == (31, [], ["finished"])


@pytest.mark.parametrize("error", [Unavailable(), TimeoutError()])
async def test_an_event_is_to_blame_where_all_is_there(error: Exception) -> None:
    """What the handler needs answers its probe, and still this event fails: it shall not hold up its partition for ever."""
    trial = Trial(error, for_ever=True, probe=there)
    await trial.run()

    assert [failure.attempts for failure in trial.letters.kept] == [5]


async def test_a_dead_letter_is_kept_before_its_event_is_done() -> None:
    """While the broker refuses it, the event stays."""
    trial = Trial(InvalidArgument())
    trial.letters.refusals += [OSError()] * 7
    await trial.run()

    assert (len(trial.letters.kept), trial.consumer.ended, trial.calls) == (1, ["finished"], 1)


@pytest.mark.parametrize("refusing", [False, True])
async def test_who_has_to_leave_abandons(*, refusing: bool) -> None:
    """In a pause between attempts, for the handler or for a dead letter, the event is left as it is, at once."""
    trial = Trial(InvalidArgument() if refusing else Unavailable(), for_ever=True)
    trial.letters.refusals += [OSError()] * 1_000_000 if refusing else []
    running = asyncio.create_task(trial.run())
    await reached(lambda: trial.guard.attempts >= 3)
    trial.consumer.draining.set()
    await running

    assert (trial.letters.kept, trial.consumer.ended) == ([], ["abandoned"])


async def test_who_was_overtaken_abandons() -> None:
    """An event that a rebalance gave to another worker is not begun."""
    trial = Trial()
    trial.consumer.held = False
    await trial.run()

    assert (trial.calls, trial.consumer.ended) == (0, ["abandoned"])


def test_pauses_grow_to_a_limit() -> None:
    """Each is up to twice the one before, never more than the longest, and seldom the same."""
    patience = Patience(first_pause_seconds=1, longest_pause_seconds=5)
    longest = [max(patience.pause_seconds(failures) for _ in range(200)) for failures in range(1, 6)]

    assert [round(seconds) for seconds in longest] == [1, 2, 4, 5, 5]
    assert len({patience.pause_seconds(3) for _ in range(20)}) > 10
