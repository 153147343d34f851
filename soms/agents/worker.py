"""Runs a consumer as a process of SOMS: one worker of its group, in a slot, registered, watched, and left without losing an event.

A consumer says which topics it handles, and how; an async context manager opens what its handlers need:

    @contextlib.asynccontextmanager
    async def inventory(worker: Worker) -> AsyncIterator[None]:
        async with connected(worker.settings, "products"):
            worker.consume("soms.orders", settle, probe=there)
            yield  # until the worker leaves

    if __name__ == "__main__":
        run("inventory", inventory)
"""

import argparse
import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from aiohttp import web

from soms import process
from soms.agents import topics
from soms.agents.app import create_app
from soms.agents.deadletter import DeadLetters
from soms.agents.figures import FIGURES
from soms.agents.folding import Fold, FoldGuard, size
from soms.agents.guard import Guard, Handler, Patience, Probe
from soms.agents.lanes import Lanes
from soms.agents.process import Vitals, listening
from soms.agents.slot import Slot, taken
from soms.agents.watch import LIMIT_SECONDS, Watch, end_within
from soms.config import Settings
from soms.discovery import Registration, registered
from soms.errors import FailedPrecondition, Unavailable
from soms.process import Stop
from soms.pulse import Pulse

PRESENCE_SECONDS: Final = 1.0
# a rebalance is over sooner and nobody need know of it
ABSENT_SECONDS: Final = 5.0
PATIENCE: Final = Patience()
# a drain, a commit, and some connections to close
STOP_SECONDS: Final = 13.0
LOOP_SECONDS: Final = 5.0
BUFFERED: Final = 10_000
TOGETHER: Final = 1000
# that wait in the channel, and as many in the lanes; most are of 64 KiB, as a fetch is, or of one record batch that is larger
BATCHES: Final = 240
logger = logging.getLogger(__name__)


class Worker:
    """One process of a consumer group, before it starts: give it handlers, tables (`app.Table`) and `routes` for its HTTP port."""

    def __init__(self, settings: Settings, service: str, slot: Slot, replicas: int = 1) -> None:
        """Belong to group `service`."""
        self.settings, self.slot = settings, slot
        self.app = create_app(settings, service, slot, replicas)
        self.routes: list[web.RouteDef] = []
        # what else must be there before it is ready, by name
        self.parts: dict[str, Callable[[], bool]] = {}
        self._letters = DeadLetters(self.app, service)
        self._guards: dict[str, Guard] = {}

    def consume(self, topic: str, handler: Handler, *, probe: Probe | None = None, patience: Patience = PATIENCE) -> None:
        """Have `handler` handle the events of `topic`: in order within a partition, again after a crash, so it must do no harm twice.

        `probe` tells whether what the handler needs is there; see `guard` for what becomes of failures.
        """
        guard = Guard(self.app.strict, self._letters, handler, probe, patience)
        self._agent(topic, guard, Lanes(guard.bring_all_to_end, self.app.crash))

    def fold(self, topic: str, fold: Fold) -> None:
        """Have `fold` count the events of `topic`, those together that wait in a partition; again after a crash."""
        self.app.strict.batched.add(topic)
        guard = FoldGuard(self.app.strict, self._letters, fold, PATIENCE)
        self._agent(topic, guard, Lanes(guard.bring_all_to_end, self.app.crash, TOGETHER, size, BATCHES), BATCHES)

    def _agent(self, topic: str, guard: Guard, lanes: Lanes, maxsize: int | None = None) -> None:
        if topic in self._guards:
            raise FailedPrecondition(f"{topic} has a handler already")
        self._guards[topic] = guard

        async def agent(stream: Any) -> None:
            async for event in stream.noack().events():
                self.app.strict.take(event.message)
                await lanes.put(event)

        self.app.agent(self.app.source(topic, maxsize), name=topic)(agent)

    @property
    def topics(self) -> list[str]:
        """What it consumes."""
        return list(self._guards)

    def attempts(self) -> int:
        """How many attempts have ended so far."""
        return sum(guard.attempts for guard in self._guards.values())

    def states(self) -> Mapping[str, bool]:
        """Whether events flow, and all else is there."""
        return {"stream": self.app.ready} | {name: there() for name, there in self.parts.items()}


Build = Callable[[Worker], contextlib.AbstractAsyncContextManager[None]]


def run(service: str, build: Build, *, limit_seconds: float = LIMIT_SECONDS) -> None:
    """Be a worker of `service` (as `inventory`) until SIGTERM or SIGINT. Ends with code 1 where it cannot start or does not get on."""
    parser = argparse.ArgumentParser(description=f"A worker of {service}.")
    parser.add_argument("--slot", type=int, help="which of its slots on this machine; the first free one if not given")
    slot = parser.parse_args().slot
    process.run(
        service, lambda settings, stop: _work(settings, stop, service, build, number=slot, limit_seconds=limit_seconds), background=True
    )


async def _work(settings: Settings, stop: Stop, service: str, build: Build, *, number: int | None, limit_seconds: float) -> None:
    try:
        async with contextlib.AsyncExitStack() as stack:
            slot = stack.enter_context(taken(settings, service, number))
            replicas = await topics.wait_for(settings, [topics.dead_letters(service)])
            worker = Worker(settings, service, slot, replicas)
            await stack.enter_async_context(build(worker))
            await topics.wait_for(settings, worker.topics)
            registration = await stack.enter_async_context(_present(worker, service))
            watch = Watch(settings.kafka or "", worker.app, worker.attempts, limit_seconds)
            await stack.enter_async_context(watch.running())
            await stack.enter_async_context(_flowing(worker, registration, watch))
            stop.ready()
            logger.info("working", extra={"slot": slot.number, "address": f"{settings.host}:{slot.port}"})
            await _until(worker, stop)
    finally:
        # all that is left is the loop, which would wait for what a crash has left in it
        end_within(LOOP_SECONDS)


@contextlib.asynccontextmanager
async def _present(worker: Worker, service: str) -> AsyncIterator[Registration]:
    """On the HTTP port of the slot and in the registry, UP while events flow."""
    settings, slot = worker.settings, worker.slot
    async with contextlib.AsyncExitStack() as stack:
        vitals = Vitals(worker.states, FIGURES)
        slot.remember(await stack.enter_async_context(listening(settings.host, vitals, settings.port or slot.port, worker.routes)))
        name = f"{service.upper()}-SERVICE"
        registration = await stack.enter_async_context(
            registered(settings, name, slot.port, grpc=False, metadata={"slot": str(slot.number)})
        )
        told, absent = False, 0.0

        async def tell() -> None:
            nonlocal told, absent
            ready = all(worker.states().values())
            absent = 0.0 if ready else absent + PRESENCE_SECONDS
            if told != (present := ready or (told and absent < ABSENT_SECONDS)):
                told = present
                await (registration.up() if told else registration.out_of_service())

        await stack.enter_async_context(Pulse("telling whether events flow", tell, PRESENCE_SECONDS).running())
        yield registration


@contextlib.asynccontextmanager
async def _flowing(worker: Worker, registration: Registration, watch: Watch) -> AsyncIterator[None]:
    """Handle events; at the end say so, finish or abandon those under way, and commit."""
    worker.app.finalize()
    try:
        await worker.app.start()
        worker.app.producer.buffer.max_messages = BUFFERED
        yield
    finally:
        watch.leave()
        leaving, stopping = asyncio.ensure_future(registration.out_of_service()), asyncio.ensure_future(worker.app.stop())
        # not awaited by itself: after a crash it raises whatever it meets, cancellations that are none of ours included
        await asyncio.wait([stopping], timeout=STOP_SECONDS)
        leaving.cancel()


async def _until(worker: Worker, stopping: asyncio.Event) -> None:
    """Wait for a reason to leave; raises Unavailable if it is a crash."""
    waiting = [asyncio.ensure_future(stopping.wait()), asyncio.ensure_future(worker.app.wait_until_stopped())]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for one in waiting:
        one.cancel()
    if worker.app.crashed:
        logger.critical("the worker crashed: %r", worker.app.crash_reason)
        raise Unavailable("the worker crashed")
