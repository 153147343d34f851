"""Lines on the screen."""

import os
import time

from soms.local import terminal


def said(*, coloured: bool) -> str:
    """What two processes said."""
    reader, writer = os.pipe()
    with terminal.Terminal(["user", "product"], writer, coloured=coloured) as screen:
        screen.say("user", "one\ntwo")
        screen.say("product", "three")
        screen.say("", "SOMS is ready")
    os.close(writer)
    with os.fdopen(reader) as output:
        return output.read()


def test_lines_bear_the_names_of_their_processes() -> None:
    """Names stand in a column; what SOMS says itself stands alone."""
    assert said(coloured=False) == "user    | one\nuser    | two\nproduct | three\nSOMS is ready\n"


def test_people_read_sentences_and_not_json() -> None:
    """On a terminal a log line is told as a sentence; what is no log line stays as it is."""
    reader, writer = os.pipe()
    line = '{"time":"2026-11-22T10:00:00.123456Z","level":"INFO","service":"user","logger":"soms","message":"serving","port":1}'
    with terminal.Terminal(["user"], writer, coloured=False, for_people=True) as screen:
        screen.say("user", line)
        screen.say("user", '{"time": no JSON')
    os.close(writer)
    with os.fdopen(reader) as output:
        assert output.read() == 'user | 10:00:00.123 INFO    user: serving port=1\nuser | {"time": no JSON\n'


def test_names_are_told_apart_by_colour() -> None:
    """Each process has its own colour, the text is left as it came."""
    user, _, product, ready = said(coloured=True).splitlines()
    assert user.split("user")[0] != product.split("product")[0]
    assert (ready, user.endswith("one")) == ("SOMS is ready", True)


def test_a_reader_who_does_not_read_delays_nobody() -> None:
    """More than fits is said in no time, and the end comes all the same."""
    reader, writer = os.pipe()
    began = time.monotonic()
    with terminal.Terminal(["user"], writer, coloured=False) as screen:
        for _ in range(3 * terminal.MOST_WAITING):
            screen.say("user", "x" * 100)
    assert time.monotonic() - began < terminal.LAST_SECONDS + 5
    os.close(reader)
