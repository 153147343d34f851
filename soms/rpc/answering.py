"""Answers calls: checks who calls, gives each call its context, maps errors, counts and logs.

Knows the rules that a servicer declares, not what its methods do.
"""

import logging
import time
from typing import Any, Final

from grpclib.const import Handler, Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.health.check import ServiceStatus
from grpclib.health.service import Health
from grpclib.health.v1 import health_pb2
from grpclib.reflection.service import ServerReflection
from h2.exceptions import ProtocolError

from soms.config import Settings
from soms.errors import DeadlineExceeded
from soms.rpc import hardened
from soms.rpc.access import Rule, rule_of
from soms.rpc.admission import Method
from soms.rpc.arrival import arrive
from soms.rpc.errors import INTERNAL, to_wire
from soms.rpc.gen.google_proto_descriptor_pool import default_google_proto_descriptor_pool
from soms.rpc.observation import observe
from soms.rpc.stream import Stream
from soms.rpc.trailers import Headers
from soms.rpc.translation import translation
from soms.tokens import Verifier

PROBE_SECONDS: Final = 3600.0
logger = logging.getLogger(__name__)


class Server(hardened.Server):
    """Serves one servicer, with the standard health and reflection services beside it."""

    def __init__(self, servicer: Any, settings: Settings) -> None:
        """Refuse, by TypeError, a servicer with a method that does not say who may call it."""
        self.health = ServiceStatus()
        self._verifier = Verifier(settings)
        self._rules: dict[str, Rule] = {}
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
                    arrive(stream, headers, rule, self._verifier)
                await method.handler.func(stream)
                await stream.reply()
        except Exception as raised:  # noqa: BLE001 - every failure has its status
            late = isinstance(raised, TimeoutError) and not stream.deadline.time_remaining()
            failure = DeadlineExceeded("not done in time") if late else raised
        status = Status.OK if failure is None else self._fail(stream, failure)
        if method.counts:
            observe(method.route, status, time.monotonic() - started, failure)

    def _fail(self, stream: Stream, failure: Exception) -> Status:
        if isinstance(failure, StreamTerminatedError | ProtocolError):  # nobody is there to be told
            return Status.CANCELLED
        try:
            error = to_wire(failure, stream.room_bytes)
        except Exception:
            logger.exception("an error that cannot be told")
            error = GRPCError(Status.INTERNAL, INTERNAL)
        stream.fail(error)
        return error.status
