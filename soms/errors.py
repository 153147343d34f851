"""The exceptions of SOMS, named after the canonical codes of gRPC (google.rpc.Code).

    SomsError
    ├── InvalidArgument      the request can never be meant (REST 400 or 422, see `reason`)
    ├── Unauthenticated      no, bad or expired credentials (401)
    ├── PermissionDenied     the caller's role may not (403)
    ├── NotFound             unknown, or not the caller's to see (404)
    ├── AlreadyExists        a unique name is taken (409)
    ├── FailedPrecondition   the state of things refuses it (409)
    ├── Aborted              somebody else was faster: stale version, key in flight (412, 409)
    ├── ResourceExhausted    too many, too large (429, 413)
    ├── DeadlineExceeded     not done in time; it may or may not have happened (503)
    └── Unavailable          a dependency is away or full; try again (503)

Domain code raises; servicers do not catch; `rpc/errors.py` puts an error on the wire and takes it off; `web/problems.py`
renders it as problem+json. Anything else is internal: logged with its traceback, shown as nothing.
"""

from typing import Any, ClassVar


class SomsError(Exception):
    """An expected refusal.

    `reason` is the stable snake_case word of rest.md, `details` the JSON members that belong to it (lists and objects
    of plain values), `retry_after` the seconds after which a repetition may succeed.
    """

    reason: ClassVar[str] = "internal"

    def __init__(self, message: str = "", *, reason: str | None = None, retry_after: float | None = None, **details: Any) -> None:
        """Keep the message for people and `reason` and `details` for machines."""
        super().__init__(message or (reason or self.reason).replace("_", " "))
        self.reason = reason or type(self).reason  # type: ignore[misc]
        self.retry_after = retry_after
        self.details = details

    @property
    def message(self) -> str:
        """The sentence for people."""
        return str(self.args[0])


class InvalidArgument(SomsError):
    """The request is malformed or makes no sense."""

    reason = "validation_failed"

    @classmethod
    def field(cls, field: str, code: str, message: str) -> "InvalidArgument":
        """One field is wrong: `errors` carries `{field, code, message}` as rest.md says."""
        return cls(f"{field}: {message}", errors=[{"field": field, "code": code, "message": message}])


class Unauthenticated(SomsError):
    """Nobody we know is calling."""

    reason = "unauthenticated"


class PermissionDenied(SomsError):
    """We know who is calling, and they may not."""

    reason = "forbidden"


class NotFound(SomsError):
    """There is no such thing for this caller."""

    reason = "not_found"


class AlreadyExists(SomsError):
    """A unique name is taken."""

    reason = "already_exists"


class FailedPrecondition(SomsError):
    """The thing exists, but its state refuses the change."""

    reason = "failed_precondition"


class Aborted(SomsError):
    """A rival was faster."""

    reason = "stale_version"


class ResourceExhausted(SomsError):
    """A limit of rate or size is reached."""

    reason = "rate_limited"


class DeadlineExceeded(SomsError):
    """Time ran out; the outcome is unknown."""

    reason = "unavailable"


class Unavailable(SomsError):
    """A dependency is away, or this process is full; repeating is right."""

    reason = "unavailable"
