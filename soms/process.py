"""A process of SOMS: its settings, its log, its event loop, until SIGTERM or SIGINT. Knows not what it does."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop

from soms import config
from soms import logging as soms_logging
from soms.config import Settings
from soms.errors import SomsError

BACKGROUND_NICENESS = 10
# objects more: a request or a batch makes thousands that go by themselves
COLLECT_EVERY = 10_000
log = logging.getLogger(__name__)


class Stop(asyncio.Event):
    """Set when the process shall leave; before `ready()` its start is broken off."""

    def __init__(self) -> None:
        """Belong to the task that starts the process."""
        super().__init__()
        self._starting = asyncio.current_task()

    def ready(self) -> None:
        """From now on it leaves by itself. What there is by now stays, so the garbage collector need not look through it again."""
        self._starting = None
        gc.freeze()
        gc.set_threshold(COLLECT_EVERY)

    def tell(self) -> None:
        """Leave."""
        self.set()
        if self._starting:
            self._starting.cancel()


def run(service: str, work: Callable[[Settings, Stop], Awaitable[None]], *, background: bool = False) -> None:
    """Be the process of `service` (as `order`) and do `work` until told to stop; an expected refusal ends it with code 1.

    In the background it gives way to those that answer somebody, wherever cores are scarce.
    """
    if background:
        _give_way()
    settings = config.settings()
    soms_logging.setup(service, settings.log_level)
    try:
        uvloop.run(_until_told(settings, work))
    except SomsError as error:
        log.critical("cannot serve: %s", error.message)
        raise SystemExit(1) from error


async def _until_told(settings: Settings, work: Callable[[Settings, Stop], Awaitable[None]]) -> None:
    stop = Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.tell)
    try:
        await work(settings, stop)
    except asyncio.CancelledError:
        if not stop.is_set():  # whoever cancelled, it was not a signal
            raise


def _give_way() -> None:
    os.nice(BACKGROUND_NICENESS)
    # Linux weighs sessions against each other first, where autogroup is on (sched(7))
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(BACKGROUND_NICENESS))
