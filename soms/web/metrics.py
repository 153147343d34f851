"""What the gateway counts, for Prometheus: requests by route and status, and how long they took."""

from collections.abc import Callable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The figures of one gateway, in a registry of its own."""

    def __init__(self) -> None:
        """Start at zero; memory, processor time and garbage collection of the process come along."""
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._requests = Counter("soms_http_requests", "Requests answered", ["method", "route", "status"], registry=self.registry)
        self._seconds = Histogram("soms_http_request_seconds", "Seconds from the headers to the answer", ["route"], registry=self.registry)

    def watch_streams(self, count: Callable[[], float]) -> None:
        """Tell how many streams are open whenever somebody asks."""
        Gauge("soms_http_streams", "Streams of events that are open", registry=self.registry).set_function(count)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer; methods nobody knows are one, so that strangers cannot make up labels."""
        self._requests.labels(method if method in METHODS else "other", route, status).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """All figures in the text format of Prometheus."""
        return generate_latest(self.registry)
