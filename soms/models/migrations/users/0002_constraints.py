"""What the database itself guards, and the ways to rows by their person. By SQL: CreateModel drops constraints (tortoise-orm#2272)."""

from tortoise import migrations
from tortoise.migrations import operations as ops

RULES = [
    "alter table users add constraint users_roles check ('customer' = any (roles) and roles <@ array['customer', 'staff', 'admin'])",
    "alter table users add constraint users_email check (email !~ '[A-Z]')",
    "alter table users add constraint users_anonymised check (email is not null or (name = '' and phone is null))",
    "alter table users add constraint users_version check (version >= 1)",
    "alter table address add constraint address_country check (country ~ '^[A-Z]{2}$')",
    "alter table address add constraint address_version check (version >= 1)",
    "alter table preferences add constraint preferences_version check (version >= 1)",
    "alter table failed_logins add constraint failed_logins_some check (cardinality(moments) between 1 and 100)",
    "create unique index address_default on address (user_id) where is_default",
    "create index users_admin on users (id) where 'admin' = any (roles)",
    "create index address_book on address (user_id, created_at, id)",
    "create index session_person on session (user_id)",
    "create index refresh_token_session on refresh_token (session_id)",
    "create index password_reset_person on password_reset (user_id)",
    "create index outbox_unpublished on outbox (id) where published_at is null",
    "create index outbox_key on outbox (key)",
    "alter table outbox set (fillfactor = 80)",
    "alter table failed_logins set (fillfactor = 80)",
]


class Migration(migrations.Migration):
    """After the tables."""

    dependencies = [("users", "0001_initial")]
    operations = [ops.RunSQL(RULES)]
