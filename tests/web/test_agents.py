"""Questions of the gateway to agents, over HTTP."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web

from soms.discovery import Instance
from soms.errors import Aborted, InvalidArgument, NotFound, SomsError, Unauthenticated, Unavailable
from soms.rpc.context import Call, calling
from soms.web.agents import Agents, asking

Answer = Callable[[web.Request], Any]
NOBODY = Instance("nobody", "127.0.0.1", 1)


class Directory:
    """A directory that knows what a test says."""

    def __init__(self, *instances: Instance) -> None:
        """Know these."""
        self.known, self.coming = list(instances), list[Instance]()
        self.refreshed = 0

    def instances(self, name: str) -> tuple[Instance, ...]:
        """All of them, for one name."""
        return tuple(self.known) if name == "SOME-SERVICE" else ()

    def refresh_soon(self) -> None:
        """Count that it was asked to."""
        self.refreshed += 1

    async def wait_for(self, name: str, timeout_seconds: float) -> tuple[Instance, ...]:
        """Who comes within a moment."""
        self.known, self.coming = self.coming, []
        if not self.known:
            raise Unavailable(f"{timeout_seconds:g}")
        return tuple(self.known)


class Agent:
    """An agent that answers as a test says."""

    def __init__(self) -> None:
        """Answer with an empty document."""
        self.answer: Answer = lambda _: web.json_response({})
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.port = 0

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Keep the request and answer."""
        self.requests.append(
            (request.method, request.path_qs, {name.lower(): value for name, value in request.headers.items()}, await request.read())
        )
        answer = self.answer(request)
        found: web.StreamResponse = await answer if inspect.isawaitable(answer) else answer
        return found


@pytest.fixture
async def agent() -> AsyncIterator[Agent]:
    """An agent that listens."""
    one, app = Agent(), web.Application()
    app.router.add_route("*", "/{rest:.*}", one.serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    one.port = runner.addresses[0][1]
    yield one
    await runner.cleanup()


@pytest.fixture
def directory(agent: Agent) -> Directory:
    """A directory that knows the agent."""
    return Directory(Instance("one", "127.0.0.1", agent.port))


@pytest.fixture
async def agents(directory: Any) -> AsyncIterator[Agents]:
    """What asks, within a call of somebody."""
    async with asking(directory) as found:
        with calling(Call(deadline=time.monotonic() + 5, token="a.b.c", request_id="r1")):
            yield found


async def ask(agents: Agents, method: str = "GET", body: Any = None, **more: Any) -> Any:
    """Ask some service."""
    with calling(Call(deadline=time.monotonic() + more.pop("seconds", 5), token="a.b.c", request_id="r1")):
        return await agents.ask("SOME-SERVICE", method, "/things", body, **more)


async def test_questions_carry_the_caller(agents: Agents, agent: Agent) -> None:
    """The question has the caller's token, the id of the request, the query without what is None, and the body."""
    agent.answer = lambda _: web.json_response({"well": True})

    assert await ask(agents, "POST", {"a": 1}, size=3, word="ä&b", absent=None) == {"well": True}
    [(method, path, headers, body)] = agent.requests
    assert (method, path, body) == ("POST", "/things?size=3&word=%C3%A4%26b", b'{"a":1}')
    assert (headers["authorization"], headers["x-request-id"]) == ("Bearer a.b.c", "r1")


async def test_nothing_is_an_answer(agents: Agents, agent: Agent) -> None:
    """No content is None."""
    agent.answer = lambda _: web.Response(status=204)

    assert await ask(agents, "DELETE") is None


@pytest.mark.parametrize("kind", [NotFound, Aborted, InvalidArgument, SomsError])
async def test_refusals_come_through(agents: Agents, agent: Agent, kind: type[SomsError]) -> None:
    """A refusal is raised as what it was."""
    told = {"error": kind.__name__, "message": "so it is", "reason": "so", "retry_after": 2, "details": {"field": "x"}}
    agent.answer = lambda _: web.json_response(told, status=400)

    with pytest.raises(kind) as refusal:
        await ask(agents)
    assert (refusal.value.message, refusal.value.reason, refusal.value.retry_after) == ("so it is", "so", 2)
    assert refusal.value.details == {"field": "x"}


@pytest.mark.parametrize("text", ["nonsense", "[]", '{"error":"Nonsense"}', '{"error":"NotFound"}'])
async def test_other_answers_are_outages(agents: Agents, agent: Agent, text: str) -> None:
    """What no agent of ours says is as good as no answer."""
    agent.answer = lambda _: web.Response(text=text, status=500)

    with pytest.raises(Unavailable):
        await ask(agents)


async def test_the_next_one_is_asked(agents: Agents, agent: Agent, directory: Directory) -> None:
    """An instance that is gone is passed over, for changes too, as nothing has happened there."""
    directory.known = [NOBODY, *directory.known]
    for method in ("GET", "POST"):
        for _ in range(8):
            assert await ask(agents, method) == {}

    assert directory.refreshed > 0


async def test_changes_are_not_repeated(agents: Agents, agent: Agent, directory: Directory) -> None:
    """A connection that breaks after a change was asked for leaves it at that; a question is asked again."""
    directory.known *= 2

    def broken(request: web.Request) -> web.Response:
        assert request.transport
        request.transport.close()
        return web.Response()

    agent.answer = broken
    for method, times in (("POST", 1), ("DELETE", 1), ("GET", 2)):
        agent.requests.clear()
        with pytest.raises(Unavailable):
            await ask(agents, method)
        assert len(agent.requests) == times


async def test_deadlines_hold(agents: Agents, agent: Agent) -> None:
    """Nobody waits longer than the request may take."""
    with pytest.raises(Unavailable):
        await ask(agents, seconds=-1)


async def test_nobody_there(agents: Agents, directory: Directory) -> None:
    """Without an instance the service is away, and without a caller nobody is asked."""
    with calling(Call(deadline=time.monotonic() + 5)), pytest.raises(Unauthenticated):
        await agents.ask("SOME-SERVICE", "GET", "/things")
    directory.known = []
    with pytest.raises(Unavailable):
        await ask(agents)


async def test_one_that_is_starting_is_waited_for(agents: Agents, directory: Directory) -> None:
    """Right after a start a question waits a while instead of being refused."""
    directory.known, directory.coming = [], directory.known
    assert await ask(agents) == {}


async def test_following_a_stream(agents: Agents, agent: Agent, directory: Directory) -> None:
    """The stream is asked for in the caller's name and from the last event on; instances that cannot be reached are passed over."""
    directory.known.append(NOBODY)
    agent.answer = lambda _: web.Response(text="data: 1\n\n", content_type="text/event-stream")
    with calling(Call(deadline=time.monotonic() + 5, token="a.b.c", request_id="r1")):
        found = await agents.follow("SOME-SERVICE", "/stream", "41")

    assert (await found.piece(), await found.piece()) == (b"data: 1\n\n", b"")
    [(method, path, headers, _)] = agent.requests
    assert (method, path) == ("GET", "/stream")
    assert (headers["authorization"], headers["last-event-id"], headers["accept"]) == ("Bearer a.b.c", "41", "text/event-stream")
    found.close()


async def test_a_stream_that_is_closed_while_somebody_waits(agents: Agents, agent: Agent) -> None:
    """Whoever waits for the next piece learns that there is none."""
    over = asyncio.Event()

    async def forever(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await over.wait()
        return answer

    agent.answer = forever
    with calling(Call(deadline=time.monotonic() + 5, token="a.b.c", request_id="r1")):
        found = await agents.follow("SOME-SERVICE", "/stream")
    waiting = asyncio.create_task(found.piece())
    await asyncio.sleep(0)
    found.close()

    async with asyncio.timeout(5):
        assert await waiting == b""
    over.set()


async def test_a_stream_that_is_refused(agents: Agents, agent: Agent) -> None:
    """A refusal comes through as what it is."""
    refusal = {"error": "NotFound", "message": "no", "reason": "not_found", "retry_after": None, "details": {}}
    agent.answer = lambda _: web.json_response(refusal, status=404)

    with pytest.raises(NotFound), calling(Call(deadline=time.monotonic() + 5, token="a.b.c", request_id="r1")):
        await agents.follow("SOME-SERVICE", "/stream")
