"""Notifications that were given up go to the dead letters, where people look for what went wrong. Knows no carrier.

The letter says which notification it is and why, not what it said: that may be nobody's business, and sending it again is
`soms notifications redeliver`. One may arrive twice, as a process may be killed between the letter and its mark.
"""

import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import uuid5

import orjson

from soms import envelope
from soms.agents.deadletter import PREFIX
from soms.models import notification_queue as queue
from soms.pulse import Pulse

TYPE: Final = "soms.notification.failed.v1"
SOURCE: Final = "/soms/notification"
SWEEP_SECONDS: Final = 5.0
BATCH: Final = 100
# hands a letter to the broker and returns when it has it: key, value, headers
Put = Callable[[bytes, bytes, list[tuple[str, bytes]]], Awaitable[None]]


class Burial:
    """Writes the letters that are missing."""

    def __init__(self, put: Put) -> None:
        """`put` a letter into the topic."""
        self._put = put
        self.pulse = Pulse("burying notifications", self.run_once, SWEEP_SECONDS)

    async def run_once(self) -> None:
        """Bury a batch."""
        rows = await queue.unburied(BATCH)
        for row in rows:
            await self._put(*letter(row))
            await queue.buried([row["id"]])
        if len(rows) == BATCH:
            self.pulse.soon()


def letter(row: Any) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Key (the notification's id), value and headers: those of a CloudEvent and the same `dlq_` ones as of an event given up."""
    attempts = orjson.loads(row["attempts"])
    names = ("id", "event_id", "event_type", "order_id", "channel", "recipient", "created_at")
    value = orjson.dumps({name: row[name] for name in names} | {"attempts": attempts}, default=str)
    told = {"reason": "delivery_failed", "error": (attempts or [{}])[-1].get("detail") or "", "attempts": len(attempts)}
    ours = [(f"{PREFIX}{name}", str(text).encode(errors="replace")) for name, text in told.items()]
    event_id = uuid5(row["id"], str(len(attempts)))
    return str(row["id"]).encode(), value, [*envelope.headers(event_id, TYPE, SOURCE, dt.datetime.now(dt.UTC)), *ours]
