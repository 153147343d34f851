"""Whether a gRPC server at a known address serves, by the standard health service: `python -m soms.rpc.probe HOST PORT`.

Made for health checks of containers, which run it every few seconds: it imports neither a gRPC library nor our settings.
"""

import socket
import sys
import time
from typing import Final

from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded, StreamReset

ANSWER_SECONDS: Final = 4.0
# HealthCheckRequest without a service; HealthCheckResponse with status SERVING; each behind a flag and its length
REQUEST: Final = bytes(5)
SERVING: Final = b"\x00\x00\x00\x00\x02\x08\x01"
HEAD: Final = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/grpc.health.v1.Health/Check"),
    (":authority", "health"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
)


def serving(host: str, port: int, timeout_seconds: float = ANSWER_SECONDS) -> bool:
    """Whether it says SERVING in time; raises OSError where nobody answers."""
    deadline = time.monotonic() + timeout_seconds
    with socket.create_connection((host, port), timeout_seconds) as connection:
        http = H2Connection()
        http.initiate_connection()
        http.send_headers(1, HEAD)
        http.send_data(1, REQUEST, end_stream=True)
        said = b""
        while time.monotonic() < deadline:
            connection.sendall(http.data_to_send())
            if not (received := connection.recv(1 << 16)):
                break
            for event in http.receive_data(received):
                said += event.data if isinstance(event, DataReceived) else b""
                if isinstance(event, StreamEnded | StreamReset):
                    return said == SERVING
    return False


if __name__ == "__main__":
    sys.exit(not serving(sys.argv[1], int(sys.argv[2])))
