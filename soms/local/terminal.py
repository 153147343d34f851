"""Lines of many processes on one screen, each under its name. Never makes a process wait for a reader who does not read."""

import collections
import json
import os
import sys
import threading
from collections.abc import Iterable
from typing import Self

import click

from soms.logging import readable

COLOURS = ("cyan", "yellow", "green", "magenta", "blue", "bright_cyan", "bright_yellow", "bright_green", "bright_magenta", "bright_blue")
MOST_WAITING = 10_000
LAST_SECONDS = 2


class Terminal:
    """A queue of lines and a thread that writes them; the oldest are dropped when nobody reads."""

    def __init__(self, names: Iterable[str], descriptor: int, *, coloured: bool, for_people: bool = False) -> None:
        """Write to file `descriptor`; `names` set the width of the first column. For people, log lines come without their JSON."""
        self._names = list(names)
        self._width = max(map(len, self._names), default=0)
        self._descriptor = descriptor
        self._coloured = coloured
        self._for_people = for_people
        self._lines: collections.deque[str] = collections.deque(maxlen=MOST_WAITING)
        self._more = threading.Condition()
        self._open = True
        # a daemon, and without Python's own buffer: a reader who stopped reading cannot keep the process from ending
        self._thread = threading.Thread(target=self._write, daemon=True)

    @classmethod
    def standard(cls, names: Iterable[str]) -> Self:
        """Standard output, in colours on a terminal unless NO_COLOR says otherwise (no-color.org)."""
        from rich.console import Console  # noqa: PLC0415 slow to import, and no other command needs it

        console = Console()
        return cls(names, sys.stdout.fileno(), coloured=console.is_terminal and not console.no_color, for_people=console.is_terminal)

    def __enter__(self) -> Self:
        """Begin to write."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what waits, for at most two seconds."""
        with self._more:
            self._open = False
            self._more.notify()
        self._thread.join(LAST_SECONDS)

    def say(self, name: str, line: str) -> None:
        """Queue `line` under `name`; nothing before it where the name is empty."""
        if self._for_people:
            line = _told(line)
        with self._more:
            self._lines.extend(self._prefix(name) + part for part in line.splitlines() or [""])
            self._more.notify()

    def _prefix(self, name: str) -> str:
        if not name:
            return ""
        if name not in self._names:
            self._names.append(name)
        prefix = f"{name.ljust(self._width)} | "
        return click.style(prefix, fg=COLOURS[self._names.index(name) % len(COLOURS)]) if self._coloured else prefix

    def _write(self) -> None:
        while lines := self._next():
            rest = memoryview("".join(f"{line}\n" for line in lines).encode(errors="replace"))
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError:
                return

    def _next(self) -> list[str]:
        with self._more:
            self._more.wait_for(lambda: self._lines or not self._open)
            lines = list(self._lines)
            self._lines.clear()
            return lines


def _told(line: str) -> str:
    """A JSON log line as people read it, any other as it is."""
    try:
        return readable(json.loads(line)) if line.startswith('{"time":') else line
    except (ValueError, KeyError, TypeError):
        return line
