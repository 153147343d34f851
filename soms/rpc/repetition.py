"""Which calls are made again: those that never began, always; others where that is safe, allowed and within the budget."""

from typing import Any, Final

from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

BUDGET_SHARE: Final = 0.1
BUDGET_LIMIT: Final = 32.0
# these change nothing when made again; so do reads, and changes under an idempotency key
REPEATABLE: Final = frozenset({"ReserveStock", "SettleStock", "ResolveOrder", "ClaimKey", "RefreshToken", "Logout"})


class Budget:
    """A tenth of all calls may be made again, and a few at once (gRPC proposal A6)."""

    def __init__(self) -> None:
        """Full at first."""
        self._left = BUDGET_LIMIT

    def earn(self) -> None:
        """A call is made for the first time."""
        self._left = min(BUDGET_LIMIT, self._left + BUDGET_SHARE)

    def spend(self) -> bool:
        """Whether a call may be made again; counts it if so."""
        if self._left < 1:
            return False
        self._left -= 1
        return True


def broke(error: Exception) -> bool:
    """Whether the call may or may not have been done: its connection broke, or the service was unavailable."""
    return isinstance(error, StreamTerminatedError) or (isinstance(error, GRPCError) and error.status is Status.UNAVAILABLE)


def repeatable(route: str, message: Any) -> bool:
    """Whether a call that may have been done can be made again without doing it twice."""
    name = route.rpartition("/")[2]
    keyed = getattr(message, "idempotency_key", "") or getattr(getattr(message, "change", None), "idempotency_key", "")
    return name in REPEATABLE or name.startswith(("Get", "List")) or bool(keyed)
