"""Bad access tokens on every REST route of the running stack: refused by the gateway alone, and all alike."""

import asyncio
import json
import runpy
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from soms.config import Settings

MUTATIONS = runpy.run_path(str(Path(__file__).parents[1] / "test_tokens_mutations.py"))
UNKNOWN = "018f0000-0000-7000-8000-000000000001"
SERVICES = ("user", "product", "order")


@pytest.fixture
async def frozen(stack: Any) -> AsyncIterator[None]:
    """All services stand still: what is asked of them is not answered."""
    try:
        for name in SERVICES:
            stack.kill(name, signal.SIGSTOP)
        yield
    finally:
        for name in SERVICES:
            stack.kill(name, signal.SIGCONT)

    async def ready() -> bool:
        return all([await stack.up(name) == 1 for name in SERVICES]) and (await (await stack.client())("GET", "/readyz")).status == 200

    await stack.until(ready, 60)


def credentials(settings: Settings) -> dict[str, list[str]]:
    """Authorization headers that must not count. Two mutations no header can carry, and 100 KB are too much for one (431)."""
    forge = MUTATIONS["Forge"](settings)
    tokens = {
        name: mutate(forge) for name, mutate in MUTATIONS["MUTATIONS"].items() if name not in {"newline after", "lone surrogate", "100 KB"}
    }
    found = {name: [f"Bearer {token}"] for name, token in tokens.items()}
    good = forge.good
    odd = {
        "twice": [f"Bearer {good}"] * 2,
        "Basic": [f"Basic {good}"],
        "no scheme": [good],
        "two spaces": [f"Bearer  {good}"],
        "two": [f"Bearer {good} {good}"],
    }
    return found | odd


async def test_bad_tokens_get_nowhere(stack: Any, frozen: None) -> None:
    """More than 40 mutations of a token are refused by one body on every route that looks at tokens, while no service could answer."""
    sent = credentials(Settings(home=stack.home))
    document = (await (await stack.client())("GET", "/openapi.json")).body
    routes = [
        (method.upper(), path.format(id=UNKNOWN, sku="MUG-BLUE"))
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if {"bearer": []} in operation["security"]
    ]
    gate, seen = asyncio.Semaphore(16), set()

    async def ask(method: str, path: str, values: list[str]) -> None:
        headers = [("X-Request-Id", "same"), ("Idempotency-Key", "k"), *(("Authorization", value) for value in values)]
        async with gate, stack.session.request(method, path, headers=headers) as answer:
            seen.add((answer.status, await answer.read(), answer.headers["WWW-Authenticate"]))

    await asyncio.gather(*(ask(*route, values) for route in routes for values in sent.values()))

    assert len(sent) > 40
    assert len(routes) >= 30
    ((status, body, challenge),) = seen
    assert (status, json.loads(body)["reason"], challenge) == (401, "unauthenticated", "Bearer")
    good = await stack.client(token=MUTATIONS["Forge"](Settings(home=stack.home)).good)
    assert (await good("GET", "orders")).status == 503  # so far gets a token that holds
