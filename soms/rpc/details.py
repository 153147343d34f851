"""What an error carries beside status and sentence, as google.rpc messages in one trailer, and back. Knows no exception but the root."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import orjson
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status as WireStatus
from grpclib.const import Status
from grpclib.encoding.base import StatusDetailsCodecBase

from soms.errors import SomsError

DOMAIN: Final = "soms"
# for the sentence, its copy in the details, and the other trailers
OTHER_TRAILERS_BYTES: Final = 2048


def packed(error: SomsError, room_bytes: int) -> Iterable[Any]:
    """The details of `error`; where they outgrow a header list of `room_bytes`, the largest are left out, the reason never."""
    members = {name: _text(value) for name, value in error.details.items()}
    sizes = {name: len(text.encode()) for name, text in members.items()}
    limit = room_bytes * 3 // 4 - OTHER_TRAILERS_BYTES  # binary trailers travel as base64
    while sum(sizes.values()) > limit:
        largest = max(sizes, key=lambda name: sizes[name])
        del sizes[largest], members[largest]
    yield ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=members)
    if error.retry_after is not None:
        delay = RetryInfo()
        delay.retry_delay.FromNanoseconds(int(error.retry_after * 1e9))
        yield delay
    if "errors" in members and sizes["errors"] + sum(sizes.values()) <= limit:
        yield BadRequest(field_violations=[_violation(**item) for item in error.details["errors"]])


def unpacked(error: SomsError, details: Iterable[Any]) -> SomsError:
    """`error` with the reason, the details and the time to wait that `details` tell of."""
    found = {type(detail): detail for detail in details}
    if retry := found.get(RetryInfo):
        error.retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    if (info := found.get(ErrorInfo)) and info.domain == DOMAIN:
        error.reason = info.reason  # type: ignore[misc]  # each instance may have a finer one than its class
        error.details = {name: _value(text) for name, text in info.metadata.items()}
    return error


def _violation(field: str, code: str, message: str) -> Any:
    return BadRequest.FieldViolation(field=field, reason=code, description=message)


def _text(value: Any) -> str:
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:  # integers beyond 64 bits, keys that are no text
        return json.dumps(value, default=str)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


class StatusDetails(StatusDetailsCodecBase):
    """The trailer `grpc-status-details-bin`; details that we have no use for, and unreadable ones, are passed over."""

    def encode(self, status: Status, message: str | None, details: Sequence[Any]) -> bytes:
        """A google.rpc.Status with the details in it."""
        wire = WireStatus(code=status.value, message=message)
        for detail in details:
            wire.details.add().Pack(detail)
        data: bytes = wire.SerializeToString()
        return data

    def decode(self, status: Status, message: str | None, data: bytes) -> list[Any]:
        """The ErrorInfo, RetryInfo and BadRequest in `data`."""
        try:
            packed = WireStatus.FromString(data).details
            kinds = [(item, kind) for item in packed for kind in (ErrorInfo, RetryInfo, BadRequest) if item.Is(kind.DESCRIPTOR)]
            return [kind.FromString(item.value) for item, kind in kinds]
        except DecodeError:
            return []
