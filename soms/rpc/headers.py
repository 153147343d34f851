"""Header compression that costs less than it saves: for machines side by side, whose callers all differ.

Huffman coding and a table that every call's own values push each other out of take ten times the work of plain literals (RFC 7541
§5.2, §6.2.3); 16 callers with their tokens: 240 µs a call against 40. Knows header names, not what they mean.
"""

from typing import Any, Final

from hpack import Encoder
from hpack.struct import NeverIndexedHeaderTuple

DIFFERENT_EACH_TIME: Final = frozenset(
    {"authorization", "grpc-timeout", "x-request-id", "traceparent", "grpc-message", "grpc-status-details-bin"}
)


class PlainEncoder(Encoder):
    """Writes literals without Huffman coding, and keeps out of the table what will not come again or must not be kept."""

    def encode(self, headers: Any, huffman: bool = False) -> bytes:
        """The header block of `headers`, pairs of text."""
        marked = [NeverIndexedHeaderTuple(*pair) if pair[0] in DIFFERENT_EACH_TIME else pair for pair in headers]
        return super().encode(marked, huffman)
