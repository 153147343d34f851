"""The headers that answer a call without its method: statuses, and refusals that wait for nothing."""

from typing import Any, Final

from grpclib.exceptions import GRPCError
from grpclib.metadata import encode_bin_value, encode_grpc_message
from grpclib.protocol import Stream as Frames

from soms.rpc.details import StatusDetails

Headers = list[tuple[str, str]]
DETAILS: Final = StatusDetails()
CONTENT: Final[Headers] = [(":status", "200"), ("content-type", "application/grpc+proto")]
DONE: Final[Headers] = [("grpc-status", "0")]


def trailers(error: GRPCError) -> Headers:
    """The status headers of `error`."""
    found = [("grpc-status", str(error.status.value)), ("grpc-message", encode_grpc_message(error.message or ""))]
    if error.details:
        details = DETAILS.encode(error.status, error.message, error.details)
        found.append(("grpc-status-details-bin", encode_bin_value(details).decode()))
    return found


def refuse(frames: Frames, headers: Headers) -> None:
    """End a stream with `headers`, without waiting for anything (RFC 9113 §8.1: the rest of the request is not wanted)."""
    if not frames.closable:  # the client has reset it already
        return
    h2: Any = frames._h2_connection  # noqa: SLF001 - grpclib's own way may wait
    h2.send_headers(frames.id, headers, end_stream=True)
    if frames.closable:
        h2.reset_stream(frames.id)
    frames.connection.flush()
