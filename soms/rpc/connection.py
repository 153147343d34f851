"""One HTTP/2 connection, server side, kept in bounds: headers, streams, resets, waits and what a peer leaves unread.

Knows frames, not calls.
"""

import asyncio
import time
from typing import Final, cast

from grpclib.config import Configuration
from grpclib.protocol import AbstractHandler, H2Protocol
from grpclib.protocol import Stream as Frames
from h2.config import H2Configuration
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from soms.rpc.headers import PlainEncoder
from soms.rpc.processor import Guard

HEADER_LIMIT_BYTES: Final = 16 * 1024
STREAM_LIMIT: Final = 256
CONNECTION_LIMIT: Final = 1000
IDLE_SECONDS: Final = 5.0
UNREAD_LIMIT_BYTES: Final = 4 * 1024 * 1024
# so little is parsed at a time that a flood is seen before it has cost others much
SLICE_BYTES: Final = 2048
CONFIGURATION: Final = Configuration(
    http2_connection_window_size=1024 * 1024,
    http2_stream_window_size=256 * 1024,
    _keepalive_time=30,
    _keepalive_timeout=10,
    _keepalive_permit_without_calls=True,
    _http2_max_pings_without_data=0,
    _http2_min_sent_ping_interval_without_data=1,
)


class Protocol(H2Protocol):
    """A connection as the server keeps it."""

    processor: Guard

    def __init__(self, handler: AbstractHandler, config: Configuration, h2_config: H2Configuration, everyone: set["Protocol"]) -> None:
        """Be one of `everyone` while connected."""
        super().__init__(handler, config, h2_config)
        self._everyone = everyone
        self._progress: dict[Frames, tuple[int, float]] = {}
        self._blocked_since: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Announce our limits, and keep to them whether or not the peer acknowledges."""
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", transport)
        self.made = time.monotonic()
        self.lost = asyncio.get_running_loop().create_future()
        self.processor = Guard(self.handler, self.connection)
        h2 = self.connection._connection  # noqa: SLF001 - grpclib does not pass these settings on
        h2.encoder = PlainEncoder()
        h2.update_settings({SettingCodes.MAX_HEADER_LIST_SIZE: HEADER_LIMIT_BYTES, SettingCodes.MAX_CONCURRENT_STREAMS: STREAM_LIMIT})
        h2.decoder.max_header_list_size = HEADER_LIMIT_BYTES
        self.connection.flush()
        self._everyone.add(self)
        if len(self._everyone) > CONNECTION_LIMIT:
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End what was under way."""
        self._everyone.discard(self)
        self.lost.set_result(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse in slices; a breach of protocol is answered by GOAWAY."""
        for start in range(0, len(data), SLICE_BYTES):
            if self.connection.is_closing():
                return
            self._slice_received(data[start : start + SLICE_BYTES])
        if not self.connection.is_closing() and self.transport.get_write_buffer_size() > UNREAD_LIMIT_BYTES:
            self.transport.abort()

    def _slice_received(self, data: bytes) -> None:
        try:
            events = self.connection.feed(data)
        except (ProtocolError, UnicodeDecodeError):
            self.connection.flush()
            self.processor.close("protocol error")
            return
        for event in events:
            self.processor.process(event)
        if not self.connection.is_closing():
            self.connection.flush()

    def sweep(self, now: float) -> None:
        """End requests that stand still, and the connection if the peer says nothing at first or reads nothing, for IDLE_SECONDS."""
        self._blocked_since = None if self.connection.write_ready.is_set() else self._blocked_since or now
        since = self._blocked_since if self.processor.settled else self.made
        if since is not None and now - since > IDLE_SECONDS:
            self.transport.abort()
            return
        before, self._progress = self._progress, {}
        for frames in [frames for frames in self.processor.streams.values() if not frames.buffer._eof]:  # noqa: SLF001 - told nowhere else
            received, since = before.get(frames, (-1, now))
            self._progress[frames] = (frames.data_received, since if received == frames.data_received else now)
            if now - self._progress[frames][1] > IDLE_SECONDS and frames.closable:
                frames.reset_nowait(ErrorCodes.CANCEL)
                frames.__terminated__("nothing came for too long")
