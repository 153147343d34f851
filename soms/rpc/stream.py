"""One call on the wire, server side: a grpclib stream that bounds what it takes and sends its whole answer in one write.

Knows messages and frames; not who calls, nor what a method does.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpclib.server
from grpclib.const import Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.events import _DispatchServerEvents
from grpclib.exceptions import GRPCError
from grpclib.metadata import Deadline
from grpclib.protocol import Stream as Frames
from grpclib.utils import DeadlineWrapper

from soms.errors import InvalidArgument, ResourceExhausted
from soms.rpc.codec import Unreadable
from soms.rpc.errors import ROOM_BYTES
from soms.rpc.trailers import CONTENT, DETAILS, DONE, refuse, trailers

MESSAGE_LIMIT_BYTES: Final = 1024 * 1024
# nobody listens to grpclib's events
SILENT: Final = _DispatchServerEvents()


class Stream(grpclib.server.Stream[Any, Any]):
    """grpclib's stream with a limit on messages, exact errors for unreadable ones, and a deadline always."""

    deadline: Deadline
    _reply: bytes | None = None

    def __init__(self, frames: Frames, route: str, handler: Handler, deadline: Deadline, codec: CodecBase) -> None:
        """The call of `route` that came in as `frames`."""
        kind = handler.cardinality, handler.request_type, handler.reply_type
        super().__init__(frames, route, *kind, codec=codec, status_details_codec=DETAILS, dispatch=SILENT, deadline=deadline)
        self._wrapper = frames.wrapper = DeadlineWrapper()

    @property
    def room_bytes(self) -> int:
        """What the client takes in a header list; a cautious guess where it does not say."""
        h2: Any = self._stream._h2_connection  # noqa: SLF001 - grpclib does not tell
        return h2.remote_settings.max_header_list_size or ROOM_BYTES

    @contextmanager
    def under_deadline(self) -> Iterator[None]:
        """Run the method in here: TimeoutError at the deadline, StreamTerminatedError when the client has gone."""
        with self._wrapper.start(self.deadline), self._wrapper:
            yield

    def end(self, error: Exception) -> None:
        """Make the method end with `error`, wherever it is."""
        self._wrapper.cancel(error)

    async def recv_message(self) -> Any:
        """The next message; None at the end where several may come.

        Raises InvalidArgument for what is no message, ResourceExhausted for one over the limit, UNIMPLEMENTED for compression.
        """
        try:
            data = await self._message_bytes()
            if data is None and not self._cardinality.client_streaming:
                raise InvalidArgument("a message is required", reason="malformed_message")
            return None if data is None else self._codec.decode(data, self._recv_type)
        except (Unreadable, AssertionError) as error:  # the buffer asserts that announced bytes have come
            raise InvalidArgument("the message cannot be read", reason="malformed_message") from error

    async def _message_bytes(self) -> bytes | None:
        prefix = await self._stream.recv_data(5)
        if not prefix:
            return None
        if prefix[0]:
            raise GRPCError(Status.UNIMPLEMENTED, "compressed messages are not supported")
        size = int.from_bytes(prefix[1:])
        if size > MESSAGE_LIMIT_BYTES:
            raise ResourceExhausted(f"a message may have {MESSAGE_LIMIT_BYTES} bytes", reason="too_large")
        data: bytes = await self._stream.recv_data(size)
        if len(data) != size:
            raise InvalidArgument("the message is cut short", reason="malformed_message")
        return data

    async def send_message(self, message: Any) -> None:
        """Send one of several messages, or keep the only one for `reply`."""
        if self._cardinality.server_streaming:
            await super().send_message(message)
            return
        data = self._codec.encode(message, self._send_type)
        self._reply = b"\0" + len(data).to_bytes(4) + data
        self._send_message_done = True

    async def reply(self) -> None:
        """Say that all went well: what is still to be sent, and the status."""
        if self._send_trailing_metadata_done:
            return
        if self._cardinality.server_streaming:
            await self.send_trailing_metadata()
        elif self._reply is None:
            raise TypeError(f"{self._method_name} gave no answer")
        else:
            await self._send(self._stream, self._reply)
        self._send_trailing_metadata_done = True
        if self._stream.closable:
            self._stream.reset_nowait()

    async def _send(self, frames: Frames, data: bytes) -> None:
        h2: Any = frames._h2_connection  # noqa: SLF001 - one write for three frames is what grpclib has no way to say
        fits = min(h2.local_flow_control_window(frames.id), h2.max_outbound_frame_size)
        if len(data) <= fits and frames.connection.write_ready.is_set():
            h2.send_headers(frames.id, CONTENT)
            h2.send_data(frames.id, data)
            h2.send_headers(frames.id, DONE, end_stream=True)
            frames.connection.flush()
        else:
            await frames.send_headers(CONTENT)
            self._send_initial_metadata_done = True
            await frames.send_data(data)
            await frames.send_headers(DONE, end_stream=True)

    def fail(self, error: GRPCError) -> None:
        """Say what went wrong, at once and whatever was sent before."""
        if not self._send_trailing_metadata_done and self._stream.closable:
            self._send_trailing_metadata_done = True
            headers = [] if self._send_initial_metadata_done else CONTENT
            refuse(self._stream, [*headers, *trailers(error)])
