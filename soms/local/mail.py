"""A mail as a file and as JSON. Takes any bytes: what a sender got wrong is shown as well as it can be, never refused."""

import email
import email.header
import functools
import secrets
import time
from email.errors import MessageError
from email.message import Message
from pathlib import Path
from typing import Any

MOST_SHOWN = 1000


def keep(folder: Path, content: bytes) -> Path:
    """Write a mail as `<nanoseconds>-<random>.eml`, whole or not at all."""
    file = folder / f"{time.time_ns()}-{secrets.token_hex(4)}.eml"
    draft = file.with_suffix(".draft")
    draft.write_bytes(content)
    return draft.replace(file)


def newest(folder: Path) -> list[dict[str, Any]]:
    """The kept mails, newest first, at most 1,000."""
    return [as_json(file) for file in sorted(folder.glob("*.eml"), reverse=True)[:MOST_SHOWN]]


@functools.lru_cache(maxsize=MOST_SHOWN)
def as_json(file: Path) -> dict[str, Any]:
    """`{id, subject, from, to, date, text, html, headers}`; `text` and `html` are null where the mail has no such part."""
    message = email.message_from_bytes(file.read_bytes())
    headers = {name: _plain(value) for name, value in reversed(message.items())}
    named = {name.lower(): value for name, value in headers.items()}
    known = {name: named.get(name, "") for name in ("subject", "from", "to", "date")}
    return {"id": file.stem, **known, "text": _body(message, "text/plain"), "html": _body(message, "text/html"), "headers": headers}


def _body(message: Message, kind: str) -> str | None:
    """The first part of `kind` that is not an attachment."""
    parts = (part for part in message.walk() if part.get_content_type() == kind and not part.get_filename())
    return next((_text(part) for part in parts), None)


def _text(part: Message) -> str:
    content = part.get_payload(decode=True)
    raw = content if isinstance(content, bytes) else b""
    try:
        return raw.decode(part.get_content_charset() or "utf-8", "replace")
    except LookupError:
        return raw.decode("utf-8", "replace")


def _plain(value: Any) -> str:
    """A header without its encoding (RFC 2047) and folding."""
    try:
        readable = str(email.header.make_header(email.header.decode_header(value)))
    except (ValueError, LookupError, MessageError):
        readable = str(value)
    return " ".join(readable.encode("utf-8", "replace").decode().split())
