"""The one table between the exceptions of SOMS and gRPC statuses, read in both directions.

On the wire an error is its status, a sentence, and google.rpc details: ErrorInfo (the reason, and each detail as JSON),
BadRequest (wrong fields, for clients that are not ours) and RetryInfo. Knows no service and no method.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as WireStatus
from grpclib.const import Status
from grpclib.encoding.base import StatusDetailsCodecBase
from grpclib.exceptions import GRPCError, StreamTerminatedError
from h2.exceptions import ProtocolError
from pydantic import ValidationError

from soms import errors
from soms.errors import SomsError
from soms.rpc.codec import Unreadable

DOMAIN: Final = "soms"
STATUSES: Final[dict[type[SomsError], Status]] = {
    errors.InvalidArgument: Status.INVALID_ARGUMENT,
    errors.Unauthenticated: Status.UNAUTHENTICATED,
    errors.PermissionDenied: Status.PERMISSION_DENIED,
    errors.NotFound: Status.NOT_FOUND,
    errors.AlreadyExists: Status.ALREADY_EXISTS,
    errors.FailedPrecondition: Status.FAILED_PRECONDITION,
    errors.Aborted: Status.ABORTED,
    errors.ResourceExhausted: Status.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: Status.DEADLINE_EXCEEDED,
    errors.Unavailable: Status.UNAVAILABLE,
    SomsError: Status.INTERNAL,
}
ERRORS: Final = {status: error for error, status in STATUSES.items()} | {
    Status.OUT_OF_RANGE: errors.InvalidArgument,
    Status.CANCELLED: errors.Unavailable,
}
INTERNAL: Final = "Internal Server Error"
MESSAGE_LIMIT_CHARACTERS: Final = 500
# what a client in another language takes without being asked (its whole header list)
ROOM_BYTES: Final = 8 * 1024


def to_wire(error: BaseException, room_bytes: int = ROOM_BYTES) -> GRPCError:
    """The status that tells a client of `error`; details that outgrow a header list of `room_bytes` are left out, the reason never.

    What is no SomsError, no refused value and no status already, becomes INTERNAL and says nothing of itself.
    """
    match error:
        case GRPCError():
            return error
        case ValidationError():
            return to_wire(refused(error), room_bytes)
        case SomsError():
            status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
            return GRPCError(status, error.message[:MESSAGE_LIMIT_CHARACTERS], list(_details(error, room_bytes)))
        case _:
            return GRPCError(Status.INTERNAL, INTERNAL)


def from_wire(error: BaseException) -> SomsError:
    """The exception that the other side raised, or what a broken call amounts to: DeadlineExceeded, Unavailable, InvalidArgument."""
    match error:
        case SomsError():
            return error
        case GRPCError():
            return _received(error)
        case TimeoutError():
            return errors.DeadlineExceeded("no answer in time")
        case StreamTerminatedError() | ProtocolError() | OSError():
            return errors.Unavailable("the service went away", retry_after=1)
        case ValueError() if not isinstance(error, Unreadable):  # a field that cannot hold its value
            return errors.InvalidArgument(str(error))
        case _:
            return SomsError(INTERNAL)


def refused(error: ValidationError) -> errors.InvalidArgument:
    """What pydantic refused, as rest.md tells it: `errors` of field, code and message; no input is repeated."""
    found = [
        {
            "field": ".".join(map(str, item["loc"])),
            "code": "unknown_field" if item["type"] == "extra_forbidden" else item["type"],
            # after a colon some messages quote what was sent
            "message": item["msg"].removeprefix("Value error, ").partition(":")[0],
        }
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return errors.InvalidArgument("; ".join(f"{item['field']}: {item['message']}" for item in found[:5]), errors=found)


def _details(error: SomsError, room_bytes: int) -> Iterable[Any]:
    members = {name: _text(value) for name, value in error.details.items()}
    limit = room_bytes * 3 // 4 - 2 * MESSAGE_LIMIT_CHARACTERS  # base64, then the sentence and the other trailers
    while sum(map(len, members.values())) > limit:
        del members[max(members, key=lambda name: len(members[name]))]
    yield ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=members)
    if error.retry_after is not None:
        delay = RetryInfo()
        delay.retry_delay.FromNanoseconds(int(error.retry_after * 1e9))
        yield delay
    if "errors" in members and len(members["errors"]) + sum(map(len, members.values())) <= limit:
        violation = BadRequest.FieldViolation
        found = error.details["errors"]
        yield BadRequest(
            field_violations=[violation(field=item["field"], reason=item["code"], description=item["message"]) for item in found]
        )


def _received(error: GRPCError) -> SomsError:
    found = {type(detail): detail for detail in error.details or ()}
    info, retry = found.get(ErrorInfo), found.get(RetryInfo)
    kind = ERRORS.get(error.status, SomsError)
    result = kind(error.message or "", retry_after=retry and retry.retry_delay.ToNanoseconds() / 1e9)
    if info and info.domain == DOMAIN:
        result.reason = info.reason  # type: ignore[misc]  # each instance may have a finer one than its class
        result.details = {name: _value(text) for name, text in info.metadata.items()}
    return result


def _text(value: Any) -> str:
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:  # integers beyond 64 bits, keys that are no text
        return json.dumps(value, default=str)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


class StatusDetails(StatusDetailsCodecBase):
    """The trailer `grpc-status-details-bin`; details that we have no use for, and unreadable ones, are passed over."""

    def encode(self, status: Status, message: str | None, details: Sequence[Any]) -> bytes:
        """A google.rpc.Status with the details in it."""
        wire = WireStatus(code=status.value, message=message)
        for detail in details:
            wire.details.add().Pack(detail)
        data: bytes = wire.SerializeToString()
        return data

    def decode(self, status: Status, message: str | None, data: bytes) -> list[Any]:
        """The ErrorInfo, RetryInfo and BadRequest in `data`."""
        try:
            packed = WireStatus.FromString(data).details
            kinds = [(item, kind) for item in packed for kind in (ErrorInfo, RetryInfo, BadRequest) if item.Is(kind.DESCRIPTOR)]
            return [kind.FromString(item.value) for item, kind in kinds]
        except DecodeError:
            return []
