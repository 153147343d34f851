"""grpclib's codec for the messages of SOMS. Knows bytes and message types, not services."""

from typing import Any

from google.protobuf.message import DecodeError
from grpclib.encoding.base import CodecBase

from soms.rpc.translation import translation


class Unreadable(ValueError):
    """The bytes are no message of this type: truncated, bad UTF-8, or a time beyond the calendar."""


class Codec(CodecBase):
    """grpclib's codec for betterproto2 messages; google's own (health, reflection) pass through."""

    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        """The wire bytes of `message`; ValueError where a value is out of its field's range, TypeError where it is of another type."""
        if message.__class__ is not message_type:
            raise TypeError(f"{message_type.__name__} expected, not {type(message).__name__}")
        return translation(message_type).encode(message)

    def decode(self, data: bytes, message_type: Any) -> Any:
        """The message in `data`; Unreadable where there is none of that type."""
        try:
            return translation(message_type).decode(data)
        except (DecodeError, OverflowError) as error:
            raise Unreadable(f"not a readable {message_type.__name__}") from error
