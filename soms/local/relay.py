"""A pipe whose lines go to a function. Its own pipe, because asyncio's would hide a process's end while a grandchild holds it open."""

import asyncio
import os
from collections.abc import Callable
from typing import Self

LONGEST_LINE_BYTES = 1 << 20
LAST_LINES_SECONDS = 1
Say = Callable[[str], None]


class Relay:
    """Reads until nobody can write any more, or until it is closed."""

    def __init__(self, writer: int, transport: asyncio.ReadTransport, reader: asyncio.StreamReader, say: Say) -> None:
        """Give the lines of `reader` to `say`; `writer` is the descriptor to hand to a process."""
        self.writer = writer
        self._transport = transport
        self._task = asyncio.create_task(_read(reader, say))

    @classmethod
    async def open(cls, say: Say) -> Self:
        """A new pipe."""
        reader = asyncio.StreamReader(limit=LONGEST_LINE_BYTES)
        read_end, write_end = os.pipe()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(read_end, "rb", buffering=0))
        return cls(write_end, transport, reader, say)

    def handed_over(self) -> None:
        """The process has its copy of `writer`: drop ours."""
        os.close(self.writer)

    async def close(self) -> None:
        """Give the last lines a second, then stop reading."""
        try:
            await asyncio.wait([self._task], timeout=LAST_LINES_SECONDS)
        finally:
            self._task.cancel()
            self._transport.close()


async def _read(reader: asyncio.StreamReader, say: Say) -> None:
    while True:  # ends with the pipe
        try:
            line = await reader.readline()
        except ValueError:
            line = f"(a line of more than {LONGEST_LINE_BYTES} bytes)".encode()
        if not line:
            return
        say(line.decode(errors="replace").rstrip("\r\n"))
