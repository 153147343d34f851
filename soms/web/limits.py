"""How much one caller may ask (token buckets) and how much all together may have under way (gates). Nothing here ever waits."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from soms.errors import ResourceExhausted, Unavailable

REMEMBERED: Final = 10_000


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a caller stands after a request: `remaining` more are free at once, all `limit` again in `reset_seconds`."""

    limit: int
    remaining: int
    reset_seconds: int
    allowed: bool = True

    def headers(self) -> dict[str, str]:
        """The `RateLimit-*` headers."""
        return {"RateLimit-Limit": str(self.limit), "RateLimit-Remaining": str(self.remaining), "RateLimit-Reset": str(self.reset_seconds)}

    def refusal(self) -> ResourceExhausted:
        """The error for one request too many."""
        return ResourceExhausted(f"at most {self.limit} requests a minute", retry_after=60 / self.limit)


class RateLimit:
    """Token buckets, one a caller: `per_minute` requests at once, refilled evenly; remembers the 10,000 latest callers."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._rate, self._clock = per_minute, per_minute / 60, clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, caller: str) -> Standing:
        """Count one request of `caller`; not `allowed` if the bucket is empty."""
        now = self._clock()
        tokens, since = self._buckets.pop(caller, (float(self._limit), now))
        tokens = min(self._limit, tokens + (now - since) * self._rate)
        if allowed := tokens >= 1:
            tokens -= 1
        self._buckets[caller] = tokens, now
        if len(self._buckets) > REMEMBERED:
            del self._buckets[next(iter(self._buckets))]
        return Standing(self._limit, int(tokens), math.ceil((self._limit - tokens) / self._rate), allowed)


class Gate:
    """Lets a bounded number of requests in and refuses the next at once: a short answer now beats a late one (`with gate:`)."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.under_way = 0

    def __enter__(self) -> None:
        """Raise Unavailable if the house is full."""
        if self.under_way >= self._limit:
            raise Unavailable("too many requests are under way", retry_after=1)
        self.under_way += 1

    def __exit__(self, *_: object) -> None:
        self.under_way -= 1
