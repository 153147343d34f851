"""What a request asks for, read from its headers before anything is done: which method, until when, or nothing we do."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from grpclib.const import Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.metadata import Deadline, decode_timeout

from soms.errors import InvalidArgument
from soms.rpc.context import DEFAULT_SECONDS

TIMEOUT_CHARACTERS: Final = 9


class Method(NamedTuple):
    """A method as it is served; those that do not count (health, reflection) are served under any load and until the end."""

    route: str
    handler: Handler
    limit_seconds: float
    default_seconds: float = DEFAULT_SECONDS
    counts: bool = True


class NotGrpc(Exception):
    """A request that is no gRPC call; the argument is the HTTP status that says so."""


def called(methods: Mapping[str, Method], headers: Mapping[str, str]) -> tuple[Method, Deadline]:
    """The method that is called and the deadline of the call; raises NotGrpc, UNIMPLEMENTED, or InvalidArgument for a bad timeout."""
    if headers.get(":method") != "POST":
        raise NotGrpc(405)
    if headers.get("content-type") not in ("application/grpc", "application/grpc+proto"):
        raise NotGrpc(415)
    method = methods.get(headers.get(":path", ""))
    if method is None:
        raise GRPCError(Status.UNIMPLEMENTED, "no such method")
    timeout = headers.get("grpc-timeout")
    if timeout is None:
        return method, Deadline.from_timeout(method.default_seconds)
    try:
        seconds = decode_timeout(timeout[:TIMEOUT_CHARACTERS])  # a longer one loses its unit
    except ValueError:
        raise InvalidArgument("grpc-timeout cannot be read", reason="invalid_parameter") from None
    return method, Deadline.from_timeout(min(seconds, method.limit_seconds))
