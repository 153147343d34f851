"""Tables of what people are told: one row per event, channel and recipient. Knows neither templates nor how a message travels.

Tortoise looks here for all that the notification service keeps.
"""

import enum
from typing import Any

from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model

from soms.models.webhook import Webhook

__all__ = ["Channel", "Notification", "Status", "Webhook"]


class Channel(enum.StrEnum):
    """How a message travels."""

    EMAIL = "email"
    SMS = "sms"
    WEBHOOK = "webhook"


class Status(enum.StrEnum):
    """Where a notification stands: to be sent now or again, sent, given up, not wanted, or waiting for the end of quiet hours."""

    PENDING = "pending"
    SENT = "sent"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    HELD = "held"


class Notification(Model):
    """One message to one recipient.

    `attempts` is the log: `{at, outcome, detail}`. `tries` counts those since it was planned or last sent again by hand, and tells the
    holder of a lease from one who lost it. `rounds` counts how often a message that had arrived was sent again. While somebody
    sends it, `next_attempt_at` is when another may. `payload` is what it is written from; it goes when nobody needs it any more.
    """

    id = fields.UUIDField(primary_key=True, default=None, db_default=SqlDefault("uuidv7()"))
    event_id = fields.UUIDField()
    event_type = fields.CharField(max_length=100)
    order_id = fields.UUIDField(null=True)
    user_id = fields.UUIDField(null=True)
    channel = fields.CharField(max_length=7)
    recipient = fields.CharField(max_length=2000)
    status = fields.CharField(max_length=10)
    attempts: list[dict[str, Any]] = fields.JSONField(db_default=SqlDefault("'[]'"))
    tries = fields.IntField(db_default=0)
    rounds = fields.IntField(db_default=0)
    next_attempt_at = fields.DatetimeField(null=True)
    payload: dict[str, Any] | None = fields.JSONField(null=True)
    created_at = fields.DatetimeField(db_default=SqlDefault("now()"))
    sent_at = fields.DatetimeField(null=True)
    dead_lettered_at = fields.DatetimeField(null=True)

    class Meta:
        """Schema notifications."""

        table = "notification"
        unique_together = (("event_id", "channel", "recipient"),)
