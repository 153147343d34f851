"""Logging: the fields of a line, secrets, noise, and values that resist."""

import asyncio
import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka.errors import GroupAuthorizationFailedError, GroupCoordinatorNotAvailableError

from soms.logging import Sparing, get_request_id, readable, set_request_id, setup, without_secrets

TOKEN = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Yes."""
        return True


@pytest.fixture(autouse=True)
def _root_restored() -> Iterator[None]:
    """Give the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    yield
    logging.captureWarnings(capture=False)
    root.handlers, root.level = handlers, level
    set_request_id(None)


@pytest.fixture
def out() -> io.StringIO:
    """Where the order service's lines go."""
    stream = io.StringIO()
    setup("order", "DEBUG", stream)
    return stream


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    """The JSON lines written so far."""
    return [json.loads(line) for line in out.getvalue().splitlines()]


LOG = logging.getLogger("soms.rpc.order")


def test_line_is_json_with_all_fields(out: io.StringIO) -> None:
    """Time in UTC, level, service, logger, message and request id stand on the line, extra fields beside them."""
    set_request_id("r-1")
    LOG.info("placed %s", "A-1", extra={"units": 3, "order_id": "o"})

    line = lines(out)[0]
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "INFO",
        "service": "order",
        "logger": "soms.rpc.order",
        "message": "placed A-1",
        "request_id": "r-1",
        "units": 3,
        "order_id": "o",
    }


def test_terminal_gets_a_short_line() -> None:
    """On a terminal the same event is one readable line."""
    out = Terminal()
    setup("order", "INFO", out)
    LOG.warning("short stock", extra={"sku": "A"})

    assert out.getvalue()[13:] == "WARNING order: short stock sku=A\n"


def test_json_line_reads_like_the_terminal(out: io.StringIO) -> None:
    """Whoever gets JSON lines can show them to people."""
    LOG.info("hello", extra={"n": 1})

    assert readable(lines(out)[0])[13:] == "INFO    order: hello n=1"


def test_level_is_honoured() -> None:
    """What is below the level is not written."""
    out = io.StringIO()
    setup("order", "WARNING", out)
    LOG.info("quiet")

    assert out.getvalue() == ""


def test_second_setup_replaces_the_first(out: io.StringIO) -> None:
    """Each event is written once."""
    again = io.StringIO()
    setup("order", "INFO", again)
    LOG.info("once")

    assert (len(lines(out)), len(lines(again))) == (0, 1)


async def test_request_id_belongs_to_its_task() -> None:
    """Requests under way side by side do not see each other's id; tasks they start do."""

    async def request(name: str) -> tuple[str | None, str | None]:
        set_request_id(name)
        await asyncio.sleep(0)

        async def child() -> str | None:
            return get_request_id()

        return get_request_id(), await asyncio.create_task(child())

    assert list(await asyncio.gather(*map(request, "ab"))) == [("a", "a"), ("b", "b")]
    assert get_request_id() is None


@pytest.mark.parametrize(
    "text",
    [
        f"refused {TOKEN}",
        f"Authorization: Bearer {'a' * 43}",
        "authorization: basic c29tZTpwYXNzd29yZHM=",
        "postgresql://soms:hush@127.0.0.1:1/soms",
        "{'password': 'hush'}",
        '{"refresh_token":"hush"}',
        "password=hush",
        "SOMS_SECRET = hush",
    ],
)
def test_secret_is_blotted_out_of_text(text: str) -> None:
    """Passwords and tokens are recognised by shape or by the word before."""
    clean = without_secrets(text)

    assert "***" in clean
    assert not any(secret in clean for secret in (TOKEN, "a" * 43, "hush", "c29tZTpwYXNzd29yZHM="))


@pytest.mark.parametrize("text", ["placed order 1 of 3", "http://127.0.0.1:8080/api", "Basic checks passed", "a@example.com"])
def test_harmless_text_stays(text: str) -> None:
    """What is no secret is not touched."""
    assert without_secrets(text) == text


def test_secret_never_reaches_a_line(out: io.StringIO) -> None:
    """Neither message, nor arguments, nor fields at any depth, nor objects, nor tracebacks show a secret."""
    extra = {
        "password": "hush",
        "body": {"email": "e", "items": [{"new_password": "hush"}, "token=hush"]},
        "error": ValueError("secret=hush"),
    }
    LOG.info("login %s", {"password": "hush"}, extra=extra)
    try:
        raise ConnectionError("cannot reach postgresql://soms:hush@db/soms")  # noqa: TRY301 - the traceback is the point
    except ConnectionError:
        LOG.exception("failed with %s", TOKEN)

    assert "hush" not in out.getvalue()
    assert TOKEN not in out.getvalue()
    assert lines(out)[0]["body"]["email"] == "e"
    assert "ConnectionError" in lines(out)[1]["exception"]


@pytest.mark.parametrize("value", [object(), {1: 2}, {(1,): 2}, 2**70, "\ud800", b"\x00", {"a", "b"}, float("nan"), ValueError("x")])
def test_any_value_can_be_logged(out: io.StringIO, value: object) -> None:
    """A line is written, and is JSON, whatever the value."""
    LOG.info("value", extra={"value": value})

    assert lines(out)[0]["message"] == "value"


def test_line_breaks_cannot_forge_lines(out: io.StringIO) -> None:
    """Text of strangers stays on its line, here and on a terminal."""
    LOG.info("hello\n{}\x1b[2J")
    terminal = Terminal()
    setup("order", "INFO", terminal)
    LOG.info("hello\nforged", extra={"agent": "x\ny"})

    assert len(lines(out)) == 1
    assert terminal.getvalue().count("\n") == 1


def test_noisy_library_is_cut_short(out: io.StringIO) -> None:
    """Of a library's endless warning five are kept, of its chatter none; our own lines are never dropped."""
    for n in range(100):
        logging.getLogger("library.conn").warning("cannot connect to %s", n)
        logging.getLogger("library.conn").info("chatter")
        LOG.warning("ours")

    messages = [line["message"] for line in lines(out)]
    assert sum(message.startswith("cannot") for message in messages) == 5
    assert messages.count("ours") == 100
    assert "chatter" not in messages


def test_noise_that_was_left_out_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """After ten seconds the warning passes again and says how many were left out."""
    now = 100.0
    monkeypatch.setattr("soms.logging.time.monotonic", lambda: now)
    sparing = Sparing(limit=5, seconds=10)

    def passes() -> logging.LogRecord | None:
        record = logging.LogRecord("aiokafka", logging.ERROR, "", 1, "away %s", (now,), None)
        return record if sparing.filter(record) else None

    assert sum(passes() is not None for _ in range(12)) == 5
    now += 10
    passed = passes()

    assert passed is not None
    assert passed.__dict__["left_out"] == 7


def test_what_is_tried_again_is_a_warning(out: io.StringIO) -> None:
    """A group that waits for its coordinator is no error yet; one that may not join is."""
    log = logging.getLogger("library")
    log.error("request failed: %s", GroupCoordinatorNotAvailableError())
    log.error("join failed: %s", GroupAuthorizationFailedError)

    assert [line["level"] for line in lines(out)] == ["WARNING", "ERROR"]


def test_memory_of_noise_is_bounded() -> None:
    """A library that never repeats itself fills nothing."""
    sparing = Sparing()
    for n in range(5000):
        sparing.filter(logging.LogRecord("aiokafka", logging.ERROR, "", 1, f"away {n}", None, None))

    assert len(sparing._seen) <= 1001


def test_python_warnings_are_logged(out: io.StringIO) -> None:
    """A warning of Python becomes a line like any other."""
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=False)
        logging.captureWarnings(capture=True)
        warnings.warn("old way", stacklevel=1)

    assert "old way" in lines(out)[0]["message"]
