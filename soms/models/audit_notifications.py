"""What must hold of notifications: whoever should be told is told once, and nothing gets stuck on its way."""

from typing import Final

from soms.models.audit_check import Check
from soms.models.notification_plan import KINDS, Kind
from soms.models.notification_queue import LEASE_SECONDS

NOTIFICATIONS: Final = "select count(*) from notifications.notification"
LATE_SECONDS: Final = 2 * LEASE_SECONDS
DEMANDING: Final = ", ".join(f"'{event.type}'" for event, kind in KINDS.items() if kind not in {Kind.WORK, Kind.NEWS})
ONCE: Final = Check(
    "notifications.once",
    "nobody is told of an event twice by one channel",
    "see that the unique key of notification exists, then delete the copies that were not sent",
    NOTIFICATIONS,
    """
select format('%s %s %s', event_id, channel, recipient), format('%s rows', count(*)), 'one row'
  from notifications.notification group by event_id, channel, recipient having count(*) > 1
""",
)
# orders of guests have no user; who is anonymised is told nothing
MISSING: Final = Check(
    "notifications.missing",
    "each published event that somebody should hear of has its notification",
    "is the notification agent running, and is the event not among its dead letters? `soms dlq list`, `soms outbox redrive --key KEY`",
    f"select sum(number) from (select count(*) as number from orders.outbox where type in ({DEMANDING}) "
    f"union all select count(*) from users.outbox where type in ({DEMANDING})) as both_of_them",
    f"""
select event_id::text, format('%s of %s without a notification', type, key), 'one at least'
  from (
    select event_id, type, key, (payload::jsonb ->> 'user_id')::uuid as user_id from orders.outbox
     where published_at is not null and type in ({DEMANDING}) and payload::jsonb ->> 'external_number' is null
    union all
    select event_id, type, key, key::uuid from users.outbox where published_at is not null and type in ({DEMANDING})) as event
 where not exists (select from notifications.notification n where n.event_id = event.event_id)
   and (user_id is null or exists (select from users.users where id = user_id and email is not null))
""",
)
STUCK: Final = Check(
    "notifications.stuck",
    f"what is due is tried within {LATE_SECONDS} s, and what was given up becomes a dead letter",
    "is the notification agent running, and Kafka? Its log says what it waits for",
    NOTIFICATIONS,
    f"""
select id::text, format('%s by %s since %s', status, channel, date_trunc('second', coalesce(next_attempt_at, created_at))),
       'sent or given up'
  from notifications.notification
 where next_attempt_at < now() - interval '{LATE_SECONDS} seconds'
    or (status = 'failed' and dead_lettered_at is null
        and coalesce((attempts -> -1 ->> 'at')::timestamptz, created_at) < now() - interval '{LATE_SECONDS} seconds')
""",
)
NOTIFICATION: Final = (ONCE, MISSING, STUCK)
