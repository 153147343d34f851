"""Dead letters: events that a consumer gave up, as they came, with headers that say why and where from. Knows nothing of handling.

One may arrive twice, as a worker may be killed between the letter and the commit: what it is about is its origin.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from aiokafka.structs import ConsumerRecord
from faust.types import Message

from soms.agents.app import App
from soms.agents.topics import dead_letters

PREFIX: Final = "dlq_"
SEND_SECONDS: Final = 15.0
LONGEST_ERROR: Final = 1000
Letter: TypeAlias = Message | ConsumerRecord[Any, Any]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an event is given up: a snake_case reason, the error in words, and how often it was tried."""

    reason: str
    error: str
    attempts: int


def came(message: Letter) -> Sequence[tuple[str, bytes | None]]:
    """The headers that a message came with."""
    return cast("Sequence[tuple[str, bytes | None]]", message.headers or ())


def headers(message: Letter, failure: Failure) -> list[tuple[str, bytes | None]]:
    """Those the message came with, and ours: `dlq_reason`, `dlq_error`, `dlq_attempts`, `dlq_topic`, `dlq_partition`, `dlq_offset`."""
    told = {
        "reason": failure.reason,
        "error": failure.error[:LONGEST_ERROR],
        "attempts": failure.attempts,
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
    }
    kept = [(name, value) for name, value in came(message) if not name.startswith(PREFIX)]
    return [*kept, *((f"{PREFIX}{name}", str(value).encode(errors="replace")) for name, value in told.items())]


class DeadLetters:
    """The topic `soms.<consumer>.dlq`."""

    def __init__(self, app: App, consumer: str) -> None:
        """Write by the producer of `app`."""
        self._app, self.topic = app, dead_letters(consumer)

    async def put(self, message: Letter, failure: Failure) -> None:
        """Keep the message there; returns when the broker has it, else raises.

        Its time is now, not that of the event: what is old would be deleted on arrival.
        """
        async with asyncio.timeout(SEND_SECONDS):
            told: Any = headers(message, failure)
            # aiokafka sends no record without both
            value = b"" if message.key is None and message.value is None else message.value
            await self._app.producer.send_and_wait(self.topic, message.key, value, None, None, told)
