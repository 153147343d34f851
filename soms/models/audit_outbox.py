"""What must hold of events on their way to Kafka, and what there is to compare with the topics."""

from typing import Final

from soms.models.audit_check import Check
from soms.models.outlet import OUTBOXES

LATE_SECONDS: Final = 60
WAITING: Final = tuple(
    Check(
        f"outbox.{schema}",
        f"no event of {schema} waits longer than {LATE_SECONDS} s for the relay",
        "is the relay running, and Kafka? `soms outbox status` names keys that are stuck, the relay's log says why",
        f"select count(*) from {schema}.outbox",
        f"""
select event_id::text, format('%s of %s waits since %s', type, key, date_trunc('second', created_at)), 'published'
  from {schema}.outbox where published_at is null and created_at < now() - interval '{LATE_SECONDS} seconds'
""",
    )
    for schema in OUTBOXES
)
# every event that is kept, for those who compare it with what the topics hold
KNOWN: Final = " union all ".join(
    f"select event_id, topic, key, published_at is not null as published, created_at from {schema}.outbox" for schema in OUTBOXES
)
