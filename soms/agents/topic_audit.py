"""What must hold between outboxes and topics: nothing published is missing, nothing is there that nobody wrote, and order within keys.

The ends of the topics are noted, then the outboxes are read, then the topics to their ends as they are then. So what is published in the
outboxes must be there, and what was there at first must be in the outboxes, whatever is told meanwhile. Reads only.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

import orjson
from aiokafka.structs import ConsumerRecord, TopicPartition

from soms.agents import letterbox
from soms.agents.tail import ends, follow
from soms.config import Settings
from soms.envelope import KINDS
from soms.events import OrderEvent, StockBack, StockLow, UserPasswordReset
from soms.models import audit
from soms.models.audit import Known
from soms.models.audit_check import MOST_BREACHES, Breach, Result

TOPICS: Final = sorted({kind.topic for kind in KINDS.values()})
# outboxes, and all topics but the orders', forget what is older than seven days
FRESH: Final = dt.timedelta(days=6, hours=23)
# Stock has versions of its own, apart from the catalogue's. A request for a new password changes no version and waits for nobody.
STOCK: Final = {StockLow.type.encode(), StockBack.type.encode()}
UNORDERED: Final = {UserPasswordReset.type.encode()}
MISSING: Final = Result(
    "topics.missing",
    "each event that an outbox calls published is in its topic",
    "the broker lost it: `soms outbox redrive --key KEY`, or --topic for all of a topic",
    0,
)
STRAYS: Final = Result(
    "topics.strays",
    "each record is an event of an outbox, or was given up by a consumer",
    "somebody else writes to the topic: look at it with `soms events tail`, and see who can reach the broker",
    0,
)
ORDER: Final = Result(
    "topics.order",
    "events of a key arrived first in the order of their versions",
    "two relays were at work, or somebody else writes to the topic; consumers go by the version and pass over what is late",
    0,
)


@dataclass
class Seen:
    """What a reading of the topics has seen so far: ids, the newest version of each key, and what is wrong."""

    ids: set[tuple[str, UUID]] = field(default_factory=set)
    versions: dict[tuple[bytes | None, bool, str], int] = field(default_factory=dict)
    strays: list[Breach] = field(default_factory=list)
    late: list[Breach] = field(default_factory=list)
    records: int = 0

    def add(self, record: ConsumerRecord) -> UUID | None:
        """Take a record in; its event id if it has one."""
        self.records += 1
        headers = dict(record.headers)
        event_id = _id(headers.get("ce_id"))
        if event_id and (record.topic, event_id) not in self.ids:
            self.ids.add((record.topic, event_id))
            self._order(record, headers.get("ce_type"))
        return event_id

    def _order(self, record: ConsumerRecord, kind: bytes | None) -> None:
        version = _version(record.value)
        if kind in UNORDERED or version is None:
            return
        counter = (record.key, kind in STOCK, record.topic)
        newest = self.versions.get(counter, 0)
        self.versions[counter] = max(newest, version)
        if version < newest and len(self.late) < MOST_BREACHES:
            self.late.append(
                Breach(f"{record.topic} {_text(record.key)}", f"version {version} behind {newest} at {_place(record)}", "before")
            )


async def compared(settings: Settings) -> list[Result]:
    """What is missing, strange or out of order. Raises Unavailable without PostgreSQL or Kafka."""
    given_up = {letter.origin for letter in await letterbox.opened(settings, settled=True)}
    first = await ends(settings, TOPICS)
    known = await audit.known(settings)
    ids = {event.event_id for event in known}
    seen = Seen()
    async for record in follow(settings, TOPICS, from_start=True, to_end=True):
        event_id = seen.add(record)
        if event_id not in ids and _must_be_known(record, first) and (record.topic, record.partition, record.offset) not in given_up:
            seen.strays.append(Breach(_place(record), f"event {event_id} of {_text(record.key)}", "nothing, or an event of an outbox"))
    return _results(known, seen)


def _results(known: list[Known], seen: Seen) -> list[Result]:
    published = [event for event in known if event.published and _kept(event)]
    missing = [
        Breach(str(event.event_id), f"not in {event.topic}", f"an event of {event.key}")
        for event in published
        if (event.topic, event.event_id) not in seen.ids
    ]
    return [
        _result(MISSING, len(published), missing),
        _result(STRAYS, seen.records, seen.strays),
        _result(ORDER, len(seen.versions), seen.late),
    ]


def _result(rule: Result, things: int, breaches: list[Breach]) -> Result:
    return Result(rule.name, rule.rule, rule.remedy, things, breaches[:MOST_BREACHES])


def _kept(event: Known) -> bool:
    return event.topic == OrderEvent.topic or event.created_at > dt.datetime.now(dt.UTC) - FRESH


def _must_be_known(record: ConsumerRecord, first: Mapping[TopicPartition, int]) -> bool:
    oldest = (dt.datetime.now(dt.UTC) - FRESH).timestamp() * 1000
    return bool(record.offset < first[TopicPartition(record.topic, record.partition)] and record.timestamp > oldest)


def _id(header: bytes | None) -> UUID | None:
    try:
        return UUID((header or b"").decode())
    except ValueError:
        return None


def _version(value: bytes | None) -> int | None:
    try:
        version = orjson.loads(value or b"")["version"]
    except (ValueError, KeyError, TypeError):
        return None
    return version if isinstance(version, int) else None


def _place(record: ConsumerRecord) -> str:
    return f"{record.topic}/{record.partition}@{record.offset}"


def _text(key: bytes | None) -> str:
    return (key or b"").decode(errors="replace")
