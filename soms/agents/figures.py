"""What a worker counts, for `/metrics`."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

FIGURES: Final = CollectorRegistry()
ENDED: Final = Counter("soms_events", "Events by how they ended", ["topic", "outcome"], registry=FIGURES)
RETRIED: Final = Counter("soms_event_retries", "Attempts that failed and were followed by another", ["topic", "cause"], registry=FIGURES)
SECONDS: Final = Histogram(
    "soms_event_seconds",
    "Time from taking an event to its end",
    ["topic"],
    registry=FIGURES,
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 120),
)
LAG: Final = Gauge(
    "soms_consumer_lag", "Events of this worker's partitions that are not committed", ["topic", "partition"], registry=FIGURES
)
