"""From the headers of a call to its context: who calls, in whose name, as part of what, until when."""

import re
import secrets
from typing import Final

from soms import logging
from soms.errors import Unauthenticated
from soms.rpc import context
from soms.rpc.access import Rule, admit
from soms.rpc.stream import Stream
from soms.rpc.trailers import Headers
from soms.tokens import Verifier

READ: Final = frozenset({"x-request-id", "traceparent"})
REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
TRACEPARENT: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def arrive(stream: Stream, headers: Headers, rule: Rule, verifier: Verifier) -> None:
    """Make the call the one under way in this task; Unauthenticated or PermissionDenied where the caller may not make it."""
    credentials, found = [], {}
    for name, value in headers:
        if name == "authorization":
            credentials.append(value)
        elif name in READ:
            found[name] = value
    logging.request_id.set(request_id := _request_id(found.get("x-request-id", "")))
    if len(credentials) > 1:
        raise Unauthenticated("one authorization header is enough")
    token = _bearer(credentials[0]) if credentials else None
    traceparent, address = found.get("traceparent", ""), stream.peer.addr()
    context.begin(
        context.Call(
            deadline=stream.deadline._timestamp,  # noqa: SLF001 - grpclib's deadline has no other way to be copied
            token=token,
            identity=admit(rule, verifier, token),
            request_id=request_id,
            traceparent=traceparent if TRACEPARENT.fullmatch(traceparent) else None,
            client_address=address[0] if address else None,
        )
    )


def _request_id(sent: str) -> str:
    """The client's own where it is fit for logs."""
    return sent if REQUEST_ID.fullmatch(sent) else secrets.token_hex(8)


def _bearer(credentials: str) -> str:
    """The token of an authorization header; empty, which no verifier takes, where it is of another scheme."""
    scheme, _, token = credentials.partition(" ")
    return token if scheme.lower() == "bearer" else ""
