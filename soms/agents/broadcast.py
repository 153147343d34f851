"""One document for many listeners, whenever it changes: rendered once, as a server-sent event. Knows not what it says.

Source: WHATWG HTML, section 9.2, Server-sent events.
"""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any, Final

import orjson

from soms.errors import Unavailable
from soms.pulse import Pulse

GAP_SECONDS: Final = 0.5
LOOK_SECONDS: Final = 1.0
# what is always new
CLOCKS: Final = ("as_of", "lag_seconds")


class Broadcast:
    """The newest event; listeners wait for one that they do not know."""

    def __init__(self, name: str, document: Callable[[], dict[str, Any]]) -> None:
        """Tell what `document` gives as event `name`, at most twice a second; nothing while it raises Unavailable."""
        self._name, self._document = name, document
        self._changed = asyncio.Condition()
        self._listeners = 0
        self._state, self._id, self._message = b"", "", b""
        self.pulse = Pulse(f"telling {name}", self.run_once, LOOK_SECONDS, gap_seconds=GAP_SECONDS)

    async def run_once(self) -> None:
        """Look whether there is news; its id is the same wherever the same is told."""
        if not self._listeners:
            # what was news then need not be when somebody comes
            self._state = self._message = b""
            return
        try:
            document = self._document()
        except Unavailable:
            return
        content = orjson.dumps({name: value for name, value in document.items() if name not in CLOCKS})
        state = content + orjson.dumps(int(document.get("lag_seconds", 0)))
        if state != self._state:
            async with self._changed:
                self._state, self._id = state, hashlib.blake2b(state, digest_size=8).hexdigest()
                self._message = b"id: %s\nevent: %s\ndata: %s\n\n" % (self._id.encode(), self._name.encode(), orjson.dumps(document))
                self._changed.notify_all()

    async def next(self, known: str, seconds: float) -> tuple[str, bytes]:
        """The id and bytes of the newest event as soon as it is not the one that is `known`. Raises TimeoutError after so long."""
        self._listeners += 1
        try:
            if self._listeners == 1:
                self.pulse.soon()
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: self._message and self._id != known)
                return self._id, self._message
        finally:
            self._listeners -= 1
