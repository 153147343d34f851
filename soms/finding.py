"""The fact that something was unlike other weeks, as SOMS tells it on Kafka. Knows not how it was found."""

import datetime as dt
from uuid import UUID

from soms.events import Event


class AnalyticsFinding(Event):
    """Something was unlike other weeks: `actual` against `expected`, orders, minor units of the currency `subject`, or parts of one.

    `metric` is orders, revenue, cancellation_rate (of the hour that began at `start`) or product (orders with the SKU `subject`), `kind`
    high or low.
    """

    topic = "soms.analytics"
    type = "soms.analytics.finding.v1"
    finding_id: UUID
    kind: str
    metric: str
    subject: str | None
    name: str = ""
    start: dt.datetime
    seconds: int
    expected: float
    actual: float
    message: str

    @property
    def key(self) -> str:
        """Its metric, and what of it."""
        return f"{self.metric}:{self.subject or ''}"
