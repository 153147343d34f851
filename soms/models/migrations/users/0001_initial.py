from tortoise import migrations
from tortoise.migrations import operations as ops
from orjson import loads
from tortoise.contrib.postgres.fields import ArrayField
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise.fields.db_defaults import SqlDefault
from uuid import uuid4
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="FailedLogins",
            fields=[
                ("subject", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ("moments", ArrayField(element_type="TIMESTAMPTZ")),
                ("newest", fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "failed_logins",
                "app": "users",
                "pk_attr": "subject",
                "table_description": "The moments of the newest failures of a subject: the SHA-256 of an account's e-mail or of a client's network.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="User",
            fields=[
                ("id", fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))),
                ("email", fields.CharField(null=True, unique=True, max_length=254)),
                ("name", fields.CharField(max_length=200)),
                ("phone", fields.CharField(null=True, max_length=16)),
                ("roles", ArrayField(element_type="TEXT")),
                ("version", fields.BigIntField(db_default=1)),
                ("created_at", fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "users",
                "app": "users",
                "indexes": [Index(fields=["created_at", "id"])],
                "pk_attr": "id",
                "table_description": "A person. Once they are anonymised, `email` is null and nothing tells who they were.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Address",
            fields=[
                ("id", fields.UUIDField(primary_key=True, unique=True, db_index=True, db_default=SqlDefault("uuidv7()"))),
                (
                    "user",
                    fields.ForeignKeyField(
                        "users.User",
                        source_field="user_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="addresses",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("name", fields.CharField(max_length=200)),
                ("line1", fields.CharField(max_length=200)),
                ("line2", fields.CharField(max_length=200)),
                ("city", fields.CharField(max_length=200)),
                ("region", fields.CharField(max_length=200)),
                ("postal_code", fields.CharField(max_length=200)),
                ("country", fields.CharField(max_length=2)),
                ("phone", fields.CharField(max_length=200)),
                ("is_default", fields.BooleanField()),
                ("version", fields.BigIntField(default=1)),
                ("created_at", fields.DatetimeField(db_default=SqlDefault("clock_timestamp()"), auto_now=False, auto_now_add=False)),
            ],
            options={"table": "address", "app": "users", "pk_attr": "id", "table_description": "An entry of somebody's address book."},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Credential",
            fields=[
                (
                    "user",
                    fields.OneToOneField(
                        "users.User",
                        source_field="user_id",
                        primary_key=True,
                        db_index=True,
                        db_constraint=True,
                        to_field="id",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("hash", fields.CharField(max_length=200)),
            ],
            options={
                "table": "credential",
                "app": "users",
                "pk_attr": "user_id",
                "table_description": "A password's argon2id hash, apart from the profile, so that no reading of profiles can show it.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="PasswordReset",
            fields=[
                ("hash", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                (
                    "user",
                    fields.ForeignKeyField(
                        "users.User",
                        source_field="user_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="resets",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("expires_at", fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "password_reset",
                "app": "users",
                "pk_attr": "hash",
                "table_description": "A reset token by its SHA-256, good once and for an hour.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Preferences",
            fields=[
                (
                    "user",
                    fields.OneToOneField(
                        "users.User",
                        source_field="user_id",
                        primary_key=True,
                        db_index=True,
                        db_constraint=True,
                        to_field="id",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("wishes", fields.JSONField(encoder=JSON_DUMPS, decoder=loads)),
                ("version", fields.BigIntField()),
            ],
            options={
                "table": "preferences",
                "app": "users",
                "pk_attr": "user_id",
                "table_description": "The wishes of somebody who said what they are.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Session",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                (
                    "user",
                    fields.ForeignKeyField(
                        "users.User",
                        source_field="user_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="sessions",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("created_at", fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False)),
                ("expires_at", fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "session",
                "app": "users",
                "pk_attr": "id",
                "table_description": "Somebody signed in somewhere; gone when they sign out.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="RefreshToken",
            fields=[
                ("hash", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                (
                    "session",
                    fields.ForeignKeyField(
                        "users.Session",
                        source_field="session_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="tokens",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("used_at", fields.DatetimeField(null=True, db_index=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "refresh_token",
                "app": "users",
                "pk_attr": "hash",
                "table_description": "A token of a session by its SHA-256; used ones are kept for the grace.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="UserOutbox",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("event_id", fields.UUIDField(unique=True, db_default=SqlDefault("uuidv7()"))),
                ("type", fields.CharField(max_length=100)),
                ("topic", fields.CharField(max_length=100)),
                ("key", fields.CharField(max_length=100)),
                ("payload", fields.TextField(unique=False)),
                ("traceparent", fields.CharField(null=True, max_length=55)),
                ("created_at", fields.DatetimeField(db_default=SqlDefault("now()"), auto_now=False, auto_now_add=False)),
                ("published_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={"table": "outbox", "app": "users", "pk_attr": "id", "table_description": "Events of users on their way to Kafka."},
            bases=["Outbox"],
        ),
    ]
