"""Text messages as files in a folder, one a file, each once however often it is handed in. Knows no HTTP."""

import contextlib
import email.utils
import functools
import hashlib
import json
import secrets
import time
from pathlib import Path
from typing import Any

MOST_SHOWN = 1000


def keep(folder: Path, account: str, key: str, *, to: str, sender: str, body: str) -> dict[str, Any]:
    """Keep a message, and give it as Twilio shows one; with a `key` that was seen before, give what is kept under it."""
    name = hashlib.sha256(f"{account} {key}".encode()).hexdigest() if key else secrets.token_hex(32)
    file = folder / f"{name}.sms"
    message = {
        "sid": f"SM{name[:32]}",
        "account_sid": account,
        "to": to,
        "from": sender,
        "body": body,
        "status": "queued",
        "date_created": email.utils.formatdate(),
        "error_code": None,
        "idempotency_key": key or None,
        "received_at": time.time(),
    }
    draft = folder / f"{name}.{secrets.token_hex(4)}.draft"
    draft.write_text(json.dumps(message))
    with contextlib.suppress(FileExistsError):
        file.hardlink_to(draft)
    draft.unlink()
    return read(file)


def newest(folder: Path) -> list[dict[str, Any]]:
    """The kept messages, newest first, at most 1,000."""
    return sorted(map(read, folder.glob("*.sms")), key=lambda one: -one["received_at"])[:MOST_SHOWN]


@functools.lru_cache(maxsize=10 * MOST_SHOWN)
def read(file: Path) -> dict[str, Any]:
    """A kept message."""
    return dict(json.loads(file.read_text()))
