"""What the mailbox of a stack got, against what the notification service says it sent. Knows no load."""

import asyncio
import email
import json
import time
from collections import Counter
from collections.abc import Collection

import asyncpg

from bench.field import Field
from soms.config import Settings

DELIVERED_SECONDS = 180
WAITING = "select count(*) from notifications.notification where status = 'pending'"
SENT = "select id::text from notifications.notification where channel = $1 and status = 'sent'"
# what somebody had sent once more bears the id of its notification and how often that was asked for
AGAIN = "."
# handed in a moment before its reader asked to be forgotten
FORGOTTEN = "select id::text from notifications.notification where channel = $1 and recipient like 'anonymised:%'"
STATUSES = "select channel || ' ' || status, count(*) from notifications.notification group by 1 order by 1"


async def delivered(field: Field) -> tuple[list[str], str]:
    """What is wrong, and the figures in a line: each text message is at its provider once; each mail arrived, few twice."""
    connection = await asyncpg.connect(Settings(home=field.home).postgres, timeout=10)
    try:
        deadline = time.monotonic() + DELIVERED_SECONDS
        while (waiting := await connection.fetchval(WAITING)) and time.monotonic() < deadline:  # noqa: ASYNC110 - another process
            await asyncio.sleep(1)
        texts = {row[0] for row in await connection.fetch(SENT, "sms")}
        mails = {row[0] for row in await connection.fetch(SENT, "email")}
        forgotten = {row[0] for row in await connection.fetch(FORGOTTEN, "email")}
        statuses = dict(await connection.fetch(STATUSES))
    finally:
        await connection.close()
    handed_in = Counter(json.loads(file.read_text())["idempotency_key"] for file in (field.home / "mailbox").glob("*.sms"))
    posted = Counter(_message_id(file.read_bytes()) for file in (field.home / "mailbox").glob("*.eml"))
    wrong = [f"{waiting} notifications are still on their way"] if waiting else []
    wrong += _compared("text messages", texts, handed_in) + _compared("mails", mails, posted, forgotten)
    wrong += [f"text message {key} is at its provider {times} times" for key, times in handed_in.items() if times > 1]
    twice = sum(times - 1 for times in posted.values())
    return wrong, f"notifications: {statuses}; mails that arrived twice, as the sender died between sending and noting it: {twice}"


def _compared(what: str, sent: set[str], arrived: Counter[str], forgotten: Collection[str] = ()) -> list[str]:
    ids = {key.partition(AGAIN)[0] for key in arrived}
    missing, more = sent - ids, ids - sent - set(forgotten)
    found = [f"{len(missing)} {what} are called sent and did not arrive: {sorted(missing)[:3]}"] if missing else []
    return found + ([f"{len(more)} {what} arrived and are not called sent: {sorted(more)[:3]}"] if more else [])


def _message_id(mail: bytes) -> str:
    return str(email.message_from_bytes(mail)["Message-ID"]).strip("<>").rpartition("@")[0]
