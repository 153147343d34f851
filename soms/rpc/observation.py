"""What a service says of its calls: a sample of each for the metrics, a line for each that did not go well and fast."""

import functools
import logging
from typing import Any, Final

from grpclib.const import Status
from prometheus_client import Histogram

from soms.rpc import context

SLOW_SECONDS: Final = 1.0
LEVELS: Final = {
    Status.OK: logging.DEBUG,
    Status.INTERNAL: logging.ERROR,
    Status.UNAVAILABLE: logging.WARNING,
    Status.DEADLINE_EXCEEDED: logging.WARNING,
}
SECONDS: Final = Histogram(
    "soms_rpc_server_seconds",
    "Time from a call to its answer, by method and gRPC status",
    ["method", "status"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10),
)
logger = logging.getLogger(__name__)


def observe(route: str, status: Status, seconds: float, failure: Exception | None) -> None:
    """Take note of a call that has ended, from within its task."""
    _sample(route, status).observe(seconds)
    level = LEVELS.get(status, logging.INFO)
    if seconds > SLOW_SECONDS:
        level = max(level, logging.WARNING)
    if logger.isEnabledFor(level):
        logger.log(level, "call", extra=_said(route, status, seconds, failure), exc_info=failure if status is Status.INTERNAL else None)


@functools.cache
def _sample(route: str, status: Status) -> Any:
    return SECONDS.labels(route, status.name)


def _said(route: str, status: Status, seconds: float, failure: Exception | None) -> dict[str, Any]:
    call = context.current()
    return {
        "method": route,
        "status": status.name,
        "reason": getattr(failure, "reason", None),
        "milliseconds": round(seconds * 1000, 1),
        "caller": call and call.identity and (call.identity.service or str(call.identity.user_id)),
    }
