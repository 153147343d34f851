"""The one table between the exceptions of SOMS and gRPC statuses, read in both directions.

On the wire an error is its status, a sentence, and google.rpc details: ErrorInfo (the reason, and each detail as JSON),
BadRequest (wrong fields, for clients that are not ours) and RetryInfo. Knows no service and no method.
"""

from typing import Final

from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from h2.exceptions import ProtocolError
from pydantic import ValidationError

from soms import errors
from soms.errors import SomsError
from soms.rpc import details
from soms.rpc.codec import Unreadable

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
            return GRPCError(status, error.message[:MESSAGE_LIMIT_CHARACTERS], list(details.packed(error, room_bytes)))
        case _:
            return GRPCError(Status.INTERNAL, INTERNAL)


def from_wire(error: BaseException) -> SomsError:
    """The exception that the other side raised, or what a broken call amounts to: DeadlineExceeded, Unavailable, InvalidArgument."""
    match error:
        case SomsError():
            return error
        case GRPCError():
            kind = ERRORS.get(error.status, SomsError)
            return details.unpacked(kind(error.message or ""), error.details or ())
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
