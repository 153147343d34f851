"""A connection to one instance, client side: connects in bounded time, notices a dead peer, tells calls that never began from broken ones.

Knows neither services nor retries.
"""

import asyncio
from typing import Any, Final

import grpclib.client
from grpclib.config import Configuration
from grpclib.exceptions import StreamTerminatedError
from grpclib.protocol import H2Protocol
from h2.errors import ErrorCodes
from h2.events import ConnectionTerminated, RemoteSettingsChanged, StreamReset
from h2.settings import SettingCodes

from soms.rpc.codec import Codec
from soms.rpc.details import StatusDetails
from soms.rpc.headers import PlainEncoder
from soms.rpc.processor import Processor

CONNECT_SECONDS: Final = 0.5
# an order of 1,000 lines may be refused for each of them
HEADER_LIMIT_BYTES: Final = 256 * 1024
CONFIGURATION: Final = Configuration(
    _keepalive_time=5,
    _keepalive_timeout=3,
    _keepalive_permit_without_calls=True,
    _http2_max_pings_without_data=0,
    _http2_min_sent_ping_interval_without_data=1,
)


class NeverBegan(StreamTerminatedError):
    """The instance has not seen the call, or has refused to begin it: any call may be made again elsewhere."""


class _Processor(Processor):
    """Ends calls that the server never began with NeverBegan."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def process_remote_settings_changed(self, event: RemoteSettingsChanged) -> None:
        """The server's limits are known: calls may begin."""
        super().process_remote_settings_changed(event)
        if not self.ready.done():
            self.ready.set_result(None)

    def process_stream_reset(self, event: StreamReset) -> None:
        """A refusal is no failure of the call, nor is a reset behind a complete answer (RFC 9113 §8.1, §8.7)."""
        stream = self.streams.get(event.stream_id)
        if stream and event.error_code == ErrorCodes.REFUSED_STREAM and stream.wrapper:
            stream.wrapper.cancel(NeverBegan("refused"))
        elif not (stream and event.error_code == ErrorCodes.NO_ERROR and stream.trailers_received.is_set()):
            super().process_stream_reset(event)

    def process_connection_terminated(self, event: ConnectionTerminated) -> None:
        """Calls above the last one that the server has seen never began (RFC 9113 §6.8)."""
        for number, stream in self.streams.items():
            if number > (event.last_stream_id or 0) and stream.wrapper:
                stream.wrapper.cancel(NeverBegan("the server is going away"))
                stream.wrapper = None
        super().process_connection_terminated(event)

    def close(self, reason: str = "Connection closed") -> None:
        """End all calls; nothing that still waits to be sent matters."""
        if not self.ready.done():
            self.ready.cancel()
        super().close(reason)


class _Protocol(H2Protocol):
    processor: _Processor

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Announce what we take."""
        super().connection_made(transport)
        self.processor = _Processor(self.handler, self.connection)
        h2 = self.connection._connection  # noqa: SLF001 - grpclib does not pass these settings on
        h2.encoder = PlainEncoder()
        h2.update_settings({SettingCodes.MAX_HEADER_LIST_SIZE: HEADER_LIMIT_BYTES})
        h2.decoder.max_header_list_size = HEADER_LIMIT_BYTES
        self.connection.flush()


class Channel(grpclib.client.Channel):
    """One connection, made when first needed and again when it was lost."""

    def __init__(self, host: str, port: int) -> None:
        """Nothing is connected yet."""
        super().__init__(host, port, codec=Codec(), status_details_codec=StatusDetails(), config=CONFIGURATION)
        self._connecting: asyncio.Task[None] | None = None

    def _protocol_factory(self) -> _Protocol:
        return _Protocol(grpclib.client.Handler(), self._config, self._h2_config)

    async def __connect__(self) -> H2Protocol:
        """The connection; all who wait for it share one attempt, and NeverBegan where it fails."""
        if not self._connected:
            if self._connecting is None or self._connecting.done():
                self._connecting = self._loop.create_task(self._connect())
                self._connecting.add_done_callback(lambda task: task.cancelled() or task.exception())
            await asyncio.shield(self._connecting)
        if self._protocol is None:
            raise NeverBegan("closed")
        return self._protocol

    async def _connect(self) -> None:
        """A server that accepts but says nothing, as a stopped process does, is as good as none."""
        protocol: Any = None
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                protocol = await self._create_connection()
                await protocol.processor.ready
            self._protocol = protocol
        except (OSError, asyncio.CancelledError) as error:
            if protocol:
                protocol.processor.close()
            raise NeverBegan(f"cannot connect to {self._host}:{self._port}") from error

    def close(self) -> None:
        """Close the connection; calls under way end."""
        if self._connecting:
            self._connecting.cancel()
        super().close()
