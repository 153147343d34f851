"""Calls to one service, spread over its instances and repeated where that is safe.

Power of two choices by calls under way; an instance that cannot be reached is left alone for a while. A call is made again
at most twice, on another instance where there is one and inside its deadline: always if it never began; at the edge of the
system also if it broke or met UNAVAILABLE, provided that repeating it changes nothing and the budget, a tenth of all calls,
lasts. Inner services leave that to the edge, or each layer would multiply the other's calls.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from grpclib.exceptions import GRPCError, StreamTerminatedError
from h2.exceptions import ProtocolError
from prometheus_client import Counter

from soms.discovery import Directory, Instance
from soms.errors import Unavailable
from soms.rpc.channel import NeverBegan
from soms.rpc.endpoint import Endpoint, Outgoing
from soms.rpc.errors import from_wire
from soms.rpc.repetition import Budget, broke, repeatable

TRIES: Final = 3
EJECTION_SECONDS: Final = 2.0
FINDING_SECONDS: Final = 0.5
BACKOFF_SECONDS: Final = 0.05
BROKEN: Final = (GRPCError, StreamTerminatedError, ProtocolError, OSError, ValueError)
REPEATED: Final = Counter("soms_rpc_client_repeated", "Calls made again on another instance", ["service"])
logger = logging.getLogger(__name__)


class Balancer:
    """The instances of `service` (as `ORDER-SERVICE`) as the directory knows them."""

    def __init__(self, service: str, directory: Directory, *, edge: bool) -> None:
        """Follow the directory until closed."""
        self._service, self._directory, self._edge = service, directory, edge
        self._endpoints: dict[Instance, Endpoint] = {}
        self._budget = Budget()
        self._repeated = REPEATED.labels(service)
        self._unsubscribe = directory.subscribe(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Add and retire instances as the directory lists them now."""
        listed = set(self._directory.instances(self._service))
        for instance in listed - self._endpoints.keys():
            self._endpoints[instance] = Endpoint(instance)
        for instance in self._endpoints.keys() - listed:
            self._endpoints.pop(instance).retire()

    def close(self) -> None:
        """Close all connections."""
        self._unsubscribe()
        for endpoint in self._endpoints.values():
            endpoint.close()

    async def call(self, call: Outgoing, message: Any) -> Any:
        """The answer to a unary call; SomsError where there is none."""
        self._budget.earn()
        return await self._attempt(call, message, frozenset())

    async def _attempt(self, call: Outgoing, message: Any, tried: frozenset[Endpoint], tries: int = 1) -> Any:
        endpoint = await self._choose(call, tried)
        tried |= {endpoint}
        try:
            async with endpoint.stream(call) as stream:
                await stream.send_message(message, end=True)
                return await stream.recv_message()
        except BROKEN as error:
            self._note(endpoint, error)
            if tries == TRIES or not self._again(call, message, error):
                raise from_wire(error) from error
            at_once = isinstance(error, NeverBegan) and not tried.issuperset(self._endpoints.values())
        self._repeated.inc()
        await asyncio.sleep(0 if at_once else random.uniform(0, BACKOFF_SECONDS * 2**tries))  # noqa: S311 - full jitter hides nothing
        return await self._attempt(call, message, tried, tries + 1)

    @contextlib.asynccontextmanager
    async def stream(self, call: Outgoing) -> AsyncIterator[Any]:
        """The stream of a call with many messages, which is never repeated."""
        endpoint = await self._choose(call, frozenset())
        try:
            async with endpoint.stream(call) as stream:
                yield stream
        except BROKEN as error:
            self._note(endpoint, error)
            raise from_wire(error) from error

    async def _choose(self, call: Outgoing, tried: frozenset[Endpoint]) -> Endpoint:
        """The less busy of two instances by chance; those in trouble only where there is no other."""
        if not self._endpoints:
            await self._find(call)
        now, every = time.monotonic(), self._endpoints.values()
        fresh = [endpoint for endpoint in every if endpoint not in tried]
        able = [endpoint for endpoint in fresh if endpoint.ejected_until <= now] or fresh or list(every)
        return able[0] if len(able) == 1 else min(random.sample(able, 2), key=lambda endpoint: endpoint.under_way)

    async def _find(self, call: Outgoing) -> None:
        seconds = min(FINDING_SECONDS, (call.until - time.monotonic()) / 2)
        try:
            await self._directory.wait_for(self._service, seconds)
        except Unavailable as error:
            raise Unavailable(f"no {self._service} is up", retry_after=1) from error
        self.refresh()

    def _note(self, endpoint: Endpoint, error: Exception) -> None:
        """Leave an instance alone that is gone or going, and ask the registry what it knows."""
        if isinstance(error, StreamTerminatedError):
            endpoint.ejected_until = time.monotonic() + EJECTION_SECONDS
            self._directory.refresh_soon()
            logger.debug("%s at %s: %s", self._service, endpoint.instance.id, error)

    def _again(self, call: Outgoing, message: Any, error: Exception) -> bool:
        if isinstance(error, NeverBegan):
            return True
        return self._edge and broke(error) and repeatable(call.route, message) and self._budget.spend()
