"""The outbox: an event is a row, written in the transaction of the change it tells of; the relay publishes it later."""

from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model

from soms.events import Event, traceparent
from soms.models.database import fetch

INSERT = """
insert into outbox (type, topic, key, payload, traceparent)
select *, $5::text from unnest($1::text[], $2::text[], $3::text[], $4::text[])
"""


class Outbox(Model):
    """An event on its way to Kafka, in the order of `id` per key."""

    id = fields.BigIntField(primary_key=True)
    event_id = fields.UUIDField(unique=True, db_default=SqlDefault("uuidv7()"))
    type = fields.CharField(max_length=100)
    topic = fields.CharField(max_length=100)
    key = fields.CharField(max_length=100)
    payload = fields.TextField()
    traceparent = fields.CharField(max_length=55, null=True)
    created_at = fields.DatetimeField(db_default=SqlDefault("now()"))
    published_at = fields.DatetimeField(null=True)

    class Meta:
        """One table per schema: each service has a subclass of its own."""

        abstract = True


async def append(schema: str, *events: Event) -> None:
    """Write events to the outbox of `schema`, in the transaction under way."""
    if events:
        await fetch(schema, INSERT, *columns(events), traceparent.get())


def columns(events: tuple[Event, ...]) -> tuple[list[str], ...]:
    """Types, topics, keys and payloads of events, for `unnest`."""
    return [e.type for e in events], [e.topic for e in events], [e.key for e in events], [e.payload for e in events]
