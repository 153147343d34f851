"""What comes in on an HTTP/2 connection, taken with patience for the unknown and none for floods. Knows frames, not calls."""

import time
from typing import Final

from grpclib.protocol import EventsProcessor
from h2.errors import ErrorCodes
from h2.events import Event, RemoteSettingsChanged, StreamReset

RESETS_PER_SECOND: Final = 100


class Processor(EventsProcessor):
    """grpclib's processor, deaf to frames it does not know; either side of a connection."""

    settled = False

    def process(self, event: Event) -> None:
        """Pass on what is known, until the connection is closed."""
        if event.__class__ in getattr(self, "processors", ()):
            super().process(event)

    def process_remote_settings_changed(self, event: RemoteSettingsChanged) -> None:
        """Note that the peer speaks HTTP/2."""
        self.settled = True
        super().process_remote_settings_changed(event)


class Guard(Processor):
    """A processor that is wary of resets (CVE-2023-44487, CVE-2025-8671)."""

    resets = 0
    counted_since = 0.0

    def process_stream_reset(self, event: StreamReset) -> None:
        """Count resets, those that the peer provokes from us too; too many a second end the connection."""
        super().process_stream_reset(event)
        now = time.monotonic()
        if now - self.counted_since > 1:
            self.counted_since, self.resets = now, 0
        self.resets += 1
        if self.resets > RESETS_PER_SECOND:
            self.hang_up(ErrorCodes.ENHANCE_YOUR_CALM, "too many resets")

    def hang_up(self, code: ErrorCodes, reason: str) -> None:
        """Say GOAWAY and close; calls under way end."""
        if not self.connection.is_closing():
            self.connection._connection.close_connection(code)  # noqa: SLF001 - grpclib itself never says GOAWAY
            self.connection.flush()
            self.close(reason)
