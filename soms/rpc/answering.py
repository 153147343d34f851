"""Answers calls: checks who calls, gives each call its context, maps errors, counts and logs.

Knows the rules that a servicer declares, not what its methods do.
"""

import logging
import re
import secrets
import time
from typing import Any, Final

from grpclib.const import Handler, Status
from grpclib.exceptions import StreamTerminatedError
from grpclib.health.check import ServiceStatus
from grpclib.health.service import Health
from grpclib.health.v1 import health_pb2
from grpclib.reflection.service import ServerReflection
from h2.exceptions import ProtocolError
from prometheus_client import Histogram

from soms import logging as soms_logging
from soms.config import Settings
from soms.errors import DeadlineExceeded, Unauthenticated
from soms.rpc import context, hardened
from soms.rpc.access import Rule, admit, rule_of
from soms.rpc.codec import translation
from soms.rpc.errors import to_wire
from soms.rpc.gen.google_proto_descriptor_pool import default_google_proto_descriptor_pool
from soms.rpc.hardened import Method
from soms.rpc.stream import Headers, Stream
from soms.tokens import Verifier

SLOW_SECONDS: Final = 1.0
PROBE_SECONDS: Final = 3600.0
PASSED_ON: Final = frozenset({"x-request-id", "traceparent"})
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
TRACEPARENT: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
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


class Server(hardened.Server):
    """Serves one servicer, with the standard health and reflection services beside it."""

    def __init__(self, servicer: Any, settings: Settings) -> None:
        """Refuse, by TypeError, a servicer with a method that does not say who may call it."""
        self.health = ServiceStatus()
        self._verifier = Verifier(settings)
        self._rules: dict[str, Rule] = {}
        self._seconds: dict[tuple[str, Status], Any] = {}
        probes: list[Any] = [Health({servicer: [self.health]})]
        if settings.reflection:
            pool = default_google_proto_descriptor_pool
            pool.AddSerializedFile(health_pb2.DESCRIPTOR.serialized_pb)  # what is listed must be described: explorers stop at what is not
            probes = ServerReflection.extend([servicer, *probes], pool=pool)[1:]
        methods = {route: self._method(servicer, route, handler) for route, handler in servicer.__mapping__().items()}
        for probe in probes:
            for route, handler in probe.__mapping__().items():
                methods[route] = Method(route, handler, PROBE_SECONDS, PROBE_SECONDS, counts=False)
        super().__init__(methods)

    def _method(self, servicer: Any, route: str, handler: Handler) -> Method:
        rule = self._rules[route] = rule_of(getattr(servicer, handler.func.__name__.removeprefix("__rpc_")))
        translation(handler.request_type)
        translation(handler.reply_type)
        return Method(route, handler, rule.limit_seconds)

    async def answer(self, stream: Stream, method: Method, headers: Headers) -> None:
        """Run the method for a caller who may; its outcome goes to the client, the metrics and the log."""
        started, failure = time.monotonic(), None
        try:
            with stream.under_deadline():
                if rule := self._rules.get(method.route):
                    self._begin(stream, rule, headers)
                await method.handler.func(stream)
                await stream.reply()
        except Exception as raised:  # noqa: BLE001 - every failure has its status
            late = isinstance(raised, TimeoutError) and not stream.deadline.time_remaining()
            failure = DeadlineExceeded("not done in time") if late else raised
        status = Status.OK if failure is None else self._fail(stream, failure)
        self._observe(method, status, time.monotonic() - started, failure)

    def _begin(self, stream: Stream, rule: Rule, headers: Headers) -> None:
        """Find out who is calling and keep it for whoever asks; Unauthenticated or PermissionDenied where they may not."""
        credentials, found = [], {}
        for name, value in headers:
            if name == "authorization":
                credentials.append(value)
            elif name in PASSED_ON:
                found[name] = value
        request_id = found.get("x-request-id", "")
        if not REQUEST_ID.fullmatch(request_id):
            request_id = secrets.token_hex(8)
        soms_logging.request_id.set(request_id)
        if len(credentials) > 1:
            raise Unauthenticated("one authorization header is enough")
        token = _bearer(credentials[0]) if credentials else None
        traceparent = found.get("traceparent", "")
        address = stream.peer.addr()
        context.begin(
            context.Call(
                deadline=stream.deadline._timestamp,  # noqa: SLF001 - grpclib's deadline has no other way to be copied
                token=token,
                identity=admit(rule, self._verifier, token),
                request_id=request_id,
                traceparent=traceparent if TRACEPARENT.fullmatch(traceparent) else None,
                client_address=address[0] if address else None,
            )
        )

    def _fail(self, stream: Stream, failure: Exception) -> Status:
        if isinstance(failure, StreamTerminatedError | ProtocolError):  # nobody is there to be told
            return Status.CANCELLED
        error = to_wire(failure, stream.room_bytes)
        stream.fail(error)
        return error.status

    def _observe(self, method: Method, status: Status, seconds: float, failure: Exception | None) -> None:
        """One sample, and one line unless all went well and fast."""
        key = method.route, status
        if key not in self._seconds:
            self._seconds[key] = SECONDS.labels(method.route, status.name)
        self._seconds[key].observe(seconds)
        level = LEVELS.get(status, logging.INFO)
        if method.counts and seconds > SLOW_SECONDS:
            level = max(level, logging.WARNING)
        if not logger.isEnabledFor(level):
            return
        call = context.current()
        said = {
            "method": method.route,
            "status": status.name,
            "reason": getattr(failure, "reason", None),
            "milliseconds": round(seconds * 1000, 1),
            "caller": call and call.identity and (call.identity.service or str(call.identity.user_id)),
        }
        logger.log(level, "call", extra=said, exc_info=failure if status is Status.INTERNAL else None)


def _bearer(credentials: str) -> str:
    """The token of an authorization header; empty, which no verifier takes, where it is of another scheme."""
    scheme, _, token = credentials.partition(" ")
    return token if scheme.lower() == "bearer" else ""
