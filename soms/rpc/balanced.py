"""What generated stubs take for a channel and a stream of grpclib: calls made through a balancer, in the name of a caller."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Self

from grpclib.const import Cardinality
from grpclib.metadata import Deadline

from soms.rpc import context
from soms.rpc.balancer import Balancer
from soms.rpc.endpoint import Outgoing

Token = Callable[[], str | None]


class BalancedChannel:
    """What a generated stub takes for a grpclib channel."""

    def __init__(self, balancer: Balancer, token: Token) -> None:
        """Call through `balancer`, showing what `token` gives at the time of the call."""
        self._balancer, self._token = balancer, token

    def request(
        self,
        name: str,
        cardinality: Cardinality,
        request_type: type,
        reply_type: type,
        *,
        timeout: float | None = None,
        deadline: Deadline | None = None,
        metadata: Mapping[str, str | bytes] | None = None,
    ) -> AbstractAsyncContextManager[Any]:
        """A call that takes at most `timeout` seconds, and no longer than the call under way may."""
        until = _until(timeout, deadline)
        call = Outgoing(name, cardinality, request_type, reply_type, until, {**_passed_on(self._token()), **(metadata or {})})
        return UnaryCall(self._balancer, call) if cardinality is Cardinality.UNARY_UNARY else self._balancer.stream(call)


class UnaryCall:
    """What a generated stub takes for the stream of a unary call; it is made when its answer is asked for."""

    def __init__(self, balancer: Balancer, call: Outgoing) -> None:
        """Nothing is sent yet."""
        self._balancer, self._call, self._message = balancer, call, None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is left to end."""

    async def send_message(self, message: Any, *, end: bool = False) -> None:
        """Keep the message."""
        self._message = message

    async def recv_message(self) -> Any:
        """Make the call; its answer."""
        return await self._balancer.call(self._call, self._message)


def _passed_on(token: str | None) -> dict[str, str]:
    call = context.current()
    found = {
        "authorization": token and f"Bearer {token}",
        "x-request-id": call and call.request_id,
        "traceparent": call and call.traceparent,
    }
    return {name: value for name, value in found.items() if value}


def _until(timeout_seconds: float | None, deadline: Deadline | None) -> float:
    call, now = context.current(), time.monotonic()
    limits = [call.deadline] if call else []
    if timeout_seconds is not None:
        limits.append(now + timeout_seconds)
    if deadline is not None:
        limits.append(now + deadline.time_remaining())
    return min(limits, default=now + context.DEFAULT_SECONDS)
