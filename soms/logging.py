"""Logging of every process: readable lines on a terminal, one JSON object a line elsewhere, secrets blotted out of both.

Standard library loggers only: `logging.getLogger(__name__).info("order placed", extra={"order_id": ...})`.
"""

import json
import logging
import re
import sys
import time
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import orjson

request_id: Final[ContextVar[str | None]] = ContextVar("request_id", default=None)

STANDARD: Final = logging.makeLogRecord({}).__dict__.keys() | {"message", "asctime", "taskName", "color_message"}
SECRET_NAME: Final = re.compile(r"password|passwd|secret|token|authorization|cookie|api_?key", re.IGNORECASE)
SECRET_TEXT: Final = re.compile(
    r"(://[^\s/:@]*:)[^\s/@]+(?=@)"  # password in an address
    r"|(\b(?:Bearer|Basic) +)[\w.~+/=-]{16,}"
    r"|()\beyJ[\w-]+\.[\w-]+\.[\w-]*"  # signed token
    r"|(\w*(?:password|secret|token)['\"]?\s?[=:]\s?['\"]?)[^\s'\",;&)}\]]+",
    re.IGNORECASE,
)
CONTROL: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}
BLOT: Final = "***"
KINDS_LIMIT: Final = 1000


def get_request_id() -> str | None:
    """The id of the request under way in this task, if any."""
    return request_id.get()


def set_request_id(value: str | None) -> None:
    """Name the request that this task and those it starts from now on work for."""
    request_id.set(value)


def setup(service: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send everything logged in this process to `stream` (standard error) as coming from `service`; may be called again."""
    out = stream or sys.stderr
    handler = logging.StreamHandler(out)
    handler.setFormatter(Readable(service) if out.isatty() else JsonLines(service))
    handler.addFilter(Sparing())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC, RFC 3339), level, service, logger, message, request_id, then the extra fields."""

    def __init__(self, service: str) -> None:
        """Put `service` on each line."""
        super().__init__()
        self._service = service

    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """What the record says, by name; values of fields with a secret's name are blotted out."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
        }
        if found := request_id.get():
            fields["request_id"] = found
        extra = {name: value for name, value in record.__dict__.items() if name not in STANDARD and name not in fields}
        fields |= _blotted(extra)
        if record.exc_info:
            fields["exception"] = without_secrets(self.formatException(record.exc_info))
        return fields

    def format(self, record: logging.LogRecord) -> str:
        """The line, whatever the values are."""
        fields = self.fields(record)
        try:
            return orjson.dumps(fields, default=_text, option=orjson.OPT_NON_STR_KEYS).decode()
        except TypeError:  # lone surrogates, integers beyond 64 bits
            return json.dumps(fields, default=_text, skipkeys=True)


class Readable(JsonLines):
    """A short line for people, with a traceback below where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return readable(self.fields(record))


class Sparing(logging.Filter):
    """Keeps other people's libraries short: warnings and worse only, and the same one at most 5 times in 10 s.

    The first line let through afterwards says how many were left out. An error of Kafka's that its client tries again
    by itself is a warning: nothing has failed yet, a group may just be waiting for its coordinator.
    """

    def __init__(self, limit: int = 5, seconds: float = 10.0) -> None:
        """Let `limit` records of one kind (logger and text before its values are put in) through per `seconds`."""
        super().__init__()
        self._limit, self._seconds = limit, seconds
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record may pass."""
        if record.name.partition(".")[0] == "soms":
            return True
        if record.levelno < logging.WARNING:
            return False
        if record.levelno > logging.WARNING and any(getattr(value, "retriable", False) for value in record.args or ()):
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        if len(self._seen) > KINDS_LIMIT:
            self._seen.clear()
        kind, now = (record.name, str(record.msg)), time.monotonic()
        since, count = self._seen.get(kind, (now, 0))
        if now - since >= self._seconds:
            if count > self._limit:
                record.left_out = count - self._limit
            since, count = now, 0
        self._seen[kind] = since, count + 1
        return count < self._limit


def readable(fields: dict[str, Any]) -> str:
    """The fields of one JSON line as a line for people."""
    rest = {name: value for name, value in fields.items() if name not in ("time", "level", "service", "logger", "message", "exception")}
    line = f"{fields['time'][11:23]} {fields['level']:<7} {fields['service']}: {fields['message']}"
    line = " ".join([line, *(f"{name}={value}" for name, value in rest.items())]).translate(CONTROL)
    return f"{line}\n{fields['exception']}" if "exception" in fields else line


def without_secrets(text: str) -> str:
    """The text with passwords and tokens blotted out, as far as their shape or the word before gives them away."""
    return SECRET_TEXT.sub(lambda found: found[found.lastindex or 0] + BLOT, text)


def _text(value: object) -> str:
    return without_secrets(str(value))


def _blotted(value: Any) -> Any:
    match value:
        case str():
            return without_secrets(value)
        case dict():
            return {name: BLOT if SECRET_NAME.search(str(name)) else _blotted(item) for name, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_blotted(item) for item in value]
        case _:
            return value
