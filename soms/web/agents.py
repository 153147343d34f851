"""Questions to agents over HTTP, in the name of the caller; `soms.agents.views` answers them. Knows no noun.

    document = await request.agents.ask("NOTIFICATION-SERVICE", "GET", "/webhooks", page_size=20)

Instances come from the directory. One that cannot be reached is passed over; a change that may have happened is not asked for twice.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson

from soms.discovery import Directory, Instance
from soms.errors import SomsError, Unauthenticated, Unavailable
from soms.rpc import context

WAIT_SECONDS: Final = 3.0
# an agent that streams says something every 15 s
SILENCE_SECONDS: Final = 40.0
EVERY: Final[list[type[SomsError]]] = [SomsError, *SomsError.__subclasses__()]
KINDS: Final = {kind.__name__: kind for kind in EVERY}


class Agents:
    """All agents that answer questions."""

    def __init__(self, directory: Directory, session: aiohttp.ClientSession) -> None:
        """Ask over `session`."""
        self._directory, self._session = directory, session

    async def ask(self, service: str, method: str, path: str, body: Any = None, **query: str | int | None) -> Any:
        """What an instance of `service` (as `NOTIFICATION-SERVICE`) answers within the deadline of the request under way.

        Members of `query` that are None are left out. Raises SomsError, as the agent said it, and Unavailable where none says anything.
        """
        asked = {name: value for name, value in query.items() if value is not None}
        for instance in await self._instances(service):
            try:
                return await self._ask(instance, method, path, body, asked)
            except (aiohttp.ClientError, OSError) as error:
                self._directory.refresh_soon()
                if method != "GET" and not isinstance(error, aiohttp.ClientConnectorError):
                    break
        raise Unavailable(f"no {service} answers", retry_after=1)

    async def follow(self, service: str, path: str, resume: str = "") -> "Following":
        """The server-sent events of an instance, from after the event `resume` on where it can; to be closed by the caller.

        Raises as `ask` does, within the deadline of the request under way; the stream itself may go on for longer.
        """
        for instance in await self._instances(service):
            try:
                return await self._follow(instance, path, resume)
            except (aiohttp.ClientError, OSError):
                self._directory.refresh_soon()
        raise Unavailable(f"no {service} answers", retry_after=1)

    async def _instances(self, service: str) -> list[Instance]:
        """Them all in any order; of an agent that is just starting, or is being started again, as soon as there are some."""
        limit = min(WAIT_SECONDS, context.deadline() - time.monotonic())
        instances = list(self._directory.instances(service) or await self._directory.wait_for(service, limit))
        random.shuffle(instances)
        return instances

    async def _follow(self, instance: Instance, path: str, resume: str) -> "Following":
        headers = _headers() | {"Accept": "text/event-stream", "Last-Event-ID": resume}
        async with asyncio.timeout(context.deadline() - time.monotonic()):
            answer = await self._session.get(
                f"http://{instance.host}:{instance.port}{path}",
                headers={name: value for name, value in headers.items() if value},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=None),
            )
            if answer.status == HTTPStatus.OK:
                return Following(answer)
            async with answer:
                _read(answer.status, await answer.read())
        raise Unavailable("an agent gave an answer that is none")

    async def _ask(self, instance: Instance, method: str, path: str, body: Any, query: dict[str, str | int]) -> Any:
        headers = _headers() | {"Content-Type": "application/json"}
        async with (
            asyncio.timeout(context.deadline() - time.monotonic()),
            self._session.request(
                method,
                f"http://{instance.host}:{instance.port}{path}",
                params=query,
                data=None if body is None else orjson.dumps(body),
                headers={name: value for name, value in headers.items() if value},
                allow_redirects=False,
            ) as answer,
        ):
            return _read(answer.status, await answer.read())


class Following:
    """A stream under way; what is not read stays with the agent, but for a few pieces."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        """Read what follows the head of `answer`."""
        self._answer = answer

    async def piece(self) -> bytes:
        """What has come since the last call, or comes next; nothing at the end, for which an agent that fell silent counts too."""
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                return await self._answer.content.readany()
        except (aiohttp.ClientError, OSError):
            return b""

    def close(self) -> None:
        """Hang up; whoever waits for a piece gets none."""
        self._answer.close()


@contextlib.asynccontextmanager
async def asking(directory: Directory) -> AsyncIterator[Agents]:
    """Agents as the directory finds them."""
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as session:
        session._retry_connection = False  # noqa: SLF001 - aiohttp would ask for a DELETE twice, and has no public way to say no
        yield Agents(directory, session)


def _headers() -> dict[str, str]:
    """Who asks; raises Unauthenticated where nobody does."""
    call = context.current()
    if call is None or call.token is None:
        raise Unauthenticated
    return {"Authorization": f"Bearer {call.token}", "X-Request-Id": call.request_id or ""}


def _read(status: int, body: bytes) -> Any:
    """What was answered. Raises the error that it is."""
    if not body:
        return None
    try:
        document = orjson.loads(body)
        if status < HTTPStatus.BAD_REQUEST:
            return document
        kind = KINDS[document["error"]]
        refusal = kind(document["message"], reason=document["reason"], retry_after=document["retry_after"], **document["details"])
    except (ValueError, KeyError, TypeError) as cause:
        raise Unavailable("an agent gave an answer that is none") from cause
    raise refusal
