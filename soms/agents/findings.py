"""Findings: judges each full hour and each full day by the history, once in all workers, and tells what was unlike other weeks.

It judges only what history has wholly read: an hour whose orders are still on their way is not an empty hour.
"""

import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final
from zoneinfo import ZoneInfo

from aiohttp import web
from aiokafka import AIOKafkaConsumer, TopicPartition

from soms.agents.rendering import FALLBACK, Reader
from soms.agents.topics import PARTITIONS, administration
from soms.agents.views import STAFF, Question, view
from soms.config import Settings
from soms.errors import InvalidArgument
from soms.events import OrderEvent
from soms.models import finding
from soms.models.finding import LIMIT
from soms.models.unusual import HOUR, STILL_DAYS, Unusual
from soms.pulse import Pulse
from soms.tokens import Verifier

GROUP: Final = "analytics.history"
INTERVAL_SECONDS: Final = 300.0
REQUEST_MILLISECONDS: Final = 5000
# an event is on Kafka a second after its commit, later only in trouble
GRACE: Final = dt.timedelta(minutes=2)
# hours that were missed while nobody judged are judged still
HOURS_BACK: Final = 6
PRODUCTS_TOLD: Final = 10
USUAL: Final = 20
Read = Callable[[dt.datetime], Awaitable[bool]]


def now() -> dt.datetime:
    """The time."""
    return dt.datetime.now(dt.UTC)


class Findings:
    """Judges what is over and was not judged by this worker."""

    def __init__(self, zone: ZoneInfo, read: Read, clock: Callable[[], dt.datetime] = now) -> None:
        """`read` tells whether history has all that happened before a moment."""
        self._zone, self._read, self._clock = zone, read, clock
        self._reader = Reader(FALLBACK, zone)
        self._hour = self._day = dt.datetime.min.replace(tzinfo=dt.UTC)
        self.pulse = Pulse("looking for findings", self.run_once, INTERVAL_SECONDS)

    async def run_once(self) -> None:
        """Judge the hours that are over since the last time, at most `HOURS_BACK` of them, and the last day if it is over.

        What another worker told before is not told again. Raises Unavailable, and KafkaError or OSError without the broker.
        """
        end = (self._clock() - GRACE).replace(minute=0, second=0, microsecond=0)
        if end <= self._hour or not await self._read(end):
            return
        today = dt.datetime.combine(end.astimezone(self._zone), dt.time(), self._zone)
        async with finding.alone() as alone:
            if not alone:
                return
            for start in (end - back * HOUR for back in range(HOURS_BACK, 0, -1)):
                if start >= self._hour:
                    await self._tell(await finding.of_hour(start, self._zone))
            if today > self._day:
                yesterday = today.date() - dt.timedelta(days=1)
                await self._tell((await finding.of_products(yesterday, self._zone))[:PRODUCTS_TOLD])
        self._hour, self._day = end, today

    async def _tell(self, found: list[Unusual]) -> None:
        for one in found:
            await finding.tell(one, message(one, self._reader))


def message(one: Unusual, reader: Reader) -> str:
    """A finding in a sentence."""
    if one.metric == "revenue":
        actual, usual = (reader.money(round(amount), one.key or "") for amount in (one.actual, one.expected))
        return f"Ordered for {actual} in an hour, usual are {usual}."
    if one.metric == "cancellation_rate":
        return f"{one.actual:.0%} of what was ordered and cancelled in an hour were cancellations, usual are {one.expected:.0%}."
    usual = reader.number(round(one.expected)) if one.expected >= USUAL else f"{one.expected:.2g}"
    if one.metric == "orders":
        return f"{reader.number(round(one.actual))} orders in an hour, usual are {usual}."
    known = f"{one.name} ({one.key})"
    if one.kind == "low":
        return f"{known} has stopped selling: no orders in {STILL_DAYS} days, usual are {usual}."
    return f"{known} suddenly sells: {reader.number(round(one.actual))} orders in a day, usual are {usual}."


@contextlib.asynccontextmanager
async def findings(settings: Settings) -> AsyncIterator[Findings]:
    """Look for findings for the length of a block, in which schema `analytics` is connected."""

    async def read(until: dt.datetime) -> bool:
        return await has_read(settings.kafka or "", until)

    found = Findings(ZoneInfo(settings.time_zone), read)
    async with found.pulse.running():
        yield found


async def has_read(kafka: str, until: dt.datetime, group: str = GROUP, topic: str = OrderEvent.topic) -> bool:
    """Whether `group` has committed all records of the orders' topic from before `until`.

    Raises KafkaError or OSError while the brokers are away.
    """
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    async with administration(kafka) as admin:
        committed = await admin.list_consumer_group_offsets(group, partitions=partitions)
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, client_id="soms-findings", request_timeout_ms=REQUEST_MILLISECONDS)
    try:
        await consumer.start()
        later = await consumer.offsets_for_times(dict.fromkeys(partitions, int(until.timestamp() * 1000)))
        ends = await consumer.end_offsets(partitions)
    finally:
        await consumer.stop()
    wanted = {one: found.offset if (found := later.get(one)) else ends[one] for one in partitions}
    return all(wanted[one] <= (committed[one].offset if one in committed else 0) for one in partitions if wanted[one])


def routes(verifier: Verifier) -> list[web.RouteDef]:
    """The routes."""

    async def listed(question: Question) -> Any:
        return {"items": await finding.newest(_limit(question))}

    return [view("GET", "/findings", verifier, STAFF, listed)]


def _limit(question: Question) -> int:
    try:
        return int(question.query.get("limit", "10"))
    except ValueError:
        raise InvalidArgument(f"limit must be a number from 1 to {LIMIT}", reason="invalid_parameter") from None
