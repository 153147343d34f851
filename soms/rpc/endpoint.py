"""One instance of a service as callers see it: its connection and the calls under way there. Knows nothing of other instances."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from grpclib.const import Cardinality
from grpclib.metadata import Deadline

from soms.discovery import Instance
from soms.rpc.channel import Channel


class Outgoing(NamedTuple):
    """A call to be made; `until` in seconds of `time.monotonic()`."""

    route: str
    cardinality: Cardinality
    request_type: type
    reply_type: type
    until: float
    metadata: Mapping[str, str | bytes]


class Endpoint:
    """One instance: its connection, the calls under way there, and until when it is left alone."""

    def __init__(self, instance: Instance) -> None:
        """Not connected yet."""
        self.instance = instance
        self.under_way = 0
        self.ejected_until = 0.0
        self._channel = Channel(instance.host, instance.port)
        self._retired = False

    @contextlib.asynccontextmanager
    async def stream(self, call: Outgoing) -> AsyncIterator[Any]:
        """The grpclib stream of a call."""
        self.under_way += 1
        try:
            kind = call.route, call.cardinality, call.request_type, call.reply_type
            deadline = Deadline(_timestamp=call.until)
            stream: Any = self._channel.request(*kind, deadline=deadline, metadata=call.metadata)
            async with stream:
                yield stream
        finally:
            self.under_way -= 1
            if self._retired:
                self.retire()

    def retire(self) -> None:
        """Take no new calls; close when the last one has ended."""
        self._retired = True
        if not self.under_way:
            self._channel.close()

    def close(self) -> None:
        """Close now; calls under way end."""
        self._channel.close()
