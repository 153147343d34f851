"""What is known of the call under way in this task: who is calling, until when, and as part of what.

A server sets it before its method runs, a gateway before it calls; clients read it and pass it on. Knows no transport.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final, NamedTuple
from uuid import UUID

from soms import logging
from soms.errors import PermissionDenied, Unauthenticated
from soms.tokens import Identity

DEFAULT_SECONDS: Final = 2.0


class Call(NamedTuple):
    """One call, as it came in.

    `deadline` is in seconds of `time.monotonic()`. `token` is the caller's own, to be shown to the next service;
    `identity` is absent where nobody had to say who they are.
    """

    deadline: float
    token: str | None = None
    identity: Identity | None = None
    request_id: str | None = None
    traceparent: str | None = None
    client_address: str | None = None


_call: ContextVar[Call | None] = ContextVar("call", default=None)


def current() -> Call | None:
    """The call under way, if any."""
    return _call.get()


def caller() -> Identity:
    """Who is calling; Unauthenticated where nobody we know is."""
    call = _call.get()
    if call is None or call.identity is None:
        raise Unauthenticated
    return call.identity


def person() -> UUID:
    """The id of the person who is calling; Unauthenticated where nobody we know is, PermissionDenied for a service."""
    found = caller().user_id
    if found is None:
        raise PermissionDenied("for people only")
    return found


def deadline() -> float:
    """When the call under way must be answered, in seconds of `time.monotonic()`; two seconds from now where none is."""
    call = _call.get()
    return call.deadline if call else time.monotonic() + DEFAULT_SECONDS


def begin(call: Call) -> None:
    """Make `call` the one under way for the rest of this task and all tasks it starts from now on."""
    _call.set(call)
    logging.request_id.set(call.request_id)


@contextmanager
def calling(call: Call) -> Iterator[None]:
    """Make `call` the one under way for a while."""
    tokens = _call.set(call), logging.request_id.set(call.request_id)
    try:
        yield
    finally:
        _call.reset(tokens[0])
        logging.request_id.reset(tokens[1])
