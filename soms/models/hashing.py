"""Passwords and their hashes: argon2id (RFC 9106), slow on purpose, in threads of their own. Knows no accounts."""

import asyncio
import contextlib
import os
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from soms.errors import Unavailable

Result = TypeVar("Result")

# OWASP's minimum of memory (19 MiB): some 30 ms of one core
HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
THREADS: Final = 2
# hashing or waiting for it; the last in line waits for about half a second
PLACES_LIMIT: Final = 32
NICENESS: Final = 5


def _give_way() -> None:
    """A flood of logins must not slow down orders: hashing runs when nobody else wants the processor (threads have a niceness on Linux)."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


_threads = ThreadPoolExecutor(THREADS, "argon2", _give_way)
_places = threading.BoundedSemaphore(PLACES_LIMIT)
# what a password is compared with where there is none, so that nobody can tell by the time it takes
_nobody = HASHER.hash(os.urandom(16))


async def hashed(password: str) -> str:
    """The hash to keep, in PHC string format. Raises Unavailable when too many wait."""
    return await _in_turn(lambda: HASHER.hash(_octets(password)))


async def verified(phc: str | None, password: str) -> bool:
    """Whether `password` is the one hashed; takes as long, and says no, where there is no hash. Raises Unavailable when too many wait."""
    return await _in_turn(lambda: _verified(phc or _nobody, password))


async def renewed(phc: str, password: str) -> str:
    """`phc` itself, or a hash with today's parameters where it has others and there is room to make one."""
    if HASHER.check_needs_rehash(phc):
        with contextlib.suppress(Unavailable):
            return await hashed(password)
    return phc


async def _in_turn(work: Callable[[], Result]) -> Result:
    if not _places.acquire(blocking=False):
        raise Unavailable("too many people sign in at once", retry_after=1)
    job = _threads.submit(work)
    job.add_done_callback(lambda _: _places.release())
    return await asyncio.wrap_future(job)


def _verified(phc: str, password: str) -> bool:
    try:
        return HASHER.verify(phc, _octets(password))
    except (VerificationError, InvalidHashError):
        return False


def _octets(password: str) -> bytes:
    """One form whatever keyboard it was typed on (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password).encode()
