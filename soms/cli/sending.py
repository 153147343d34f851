"""Places orders over REST, a bounded number at a time, and counts what became of them. Knows no file and no terminal."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import aiohttp
import orjson

from soms.cli.order_file import Order
from soms.errors import DeadlineExceeded, SomsError, Unavailable

ATTEMPTS = 10
REQUEST_SECONDS = 10
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 30.0
# somebody is away: the rest of a long file would only wait in vain
FAILURES_IN_A_ROW = 20
PASSING = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT}
Token = Callable[[Order], Awaitable[str]]


@dataclass
class Outcome:
    """What became of an order: its HTTP status (None without an answer), the reason of a refusal, the order or problem document.

    `passing` says that the same request may do better later. `seconds` are counted from the first attempt to the last answer.
    """

    order: Order
    status: int | None
    reason: str = ""
    document: dict[str, Any] = field(default_factory=dict)
    replayed: bool = False
    passing: bool = False
    retry_after: float = 0
    seconds: float = 0

    @property
    def accepted(self) -> bool:
        """Whether the order stands."""
        return self.status == HTTPStatus.CREATED


@dataclass
class Report:
    """The sum of many outcomes; `value` in minor units by currency, `latencies` and `seconds` (by the clock) in seconds."""

    accepted: int = 0
    replayed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    units: int = 0
    value: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    seconds: float = 0
    failures_in_a_row: int = 0

    @property
    def sent(self) -> int:
        """How many orders there were."""
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Accepted orders a second."""
        return self.accepted / self.seconds if self.seconds else 0.0

    def percentile(self, percent: float) -> float:
        """The latency that so many percent of the orders kept to, in seconds (nearest rank)."""
        ranked = sorted(self.latencies)
        return ranked[max(0, -int(-len(ranked) * percent // 100) - 1)] if ranked else 0.0

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.latencies.append(outcome.seconds)
        self.failures_in_a_row = self.failures_in_a_row + 1 if outcome.passing else 0
        if outcome.accepted:
            self.accepted += 1
            self.replayed += outcome.replayed
            self.units += sum(line["quantity"] for line in outcome.document["lines"])
            self.value[outcome.document["currency"]] += outcome.document["total"]
        elif outcome.passing or outcome.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            self.failed[outcome.reason] += 1
        else:
            self.refused[outcome.reason] += 1


async def place_all(
    session: aiohttp.ClientSession,
    orders: Iterable[Order],
    clients: int,
    token: Token | None = None,
    tell: Callable[[Outcome], None] = lambda _outcome: None,
) -> Report:
    """Place all `orders`, at most `clients` at a time, and call `tell` with each outcome.

    `session` has the gateway as its base address; `token` gives the access token of an order, else the session's own headers hold.
    What is passing (no answer, 429, 503) is repeated up to ten times under the same key; after 20 failures in a row no more are sent.
    """
    report, waiting, began = Report(), iter(orders), time.perf_counter()

    async def client() -> None:
        for order in waiting:
            outcome = await place(session, order, token)
            report.add(outcome)
            tell(outcome)
            if report.failures_in_a_row >= FAILURES_IN_A_ROW:
                break

    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    report.seconds = time.perf_counter() - began
    return report


async def place(session: aiohttp.ClientSession, order: Order, token: Token | None = None) -> Outcome:
    """Place one order; repeats while the refusal is of the passing kind, as often and as long as is decent."""
    headers = {"Content-Type": "application/json", "Idempotency-Key": order.key}
    try:
        headers |= {"Authorization": f"Bearer {await token(order)}"} if token else {}
    except SomsError as error:
        return Outcome(order, None, error.reason, {"detail": error.message}, passing=isinstance(error, Unavailable | DeadlineExceeded))
    began = time.perf_counter()
    outcome = await _attempt(session, order, headers)
    for attempt in range(1, ATTEMPTS):
        if not outcome.passing:
            break
        pause = max(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1), outcome.retry_after) * random.uniform(1, 1.25)  # noqa: S311 - spreads load
        await asyncio.sleep(min(pause, LONGEST_PAUSE_SECONDS))
        outcome = await _attempt(session, order, headers)
    outcome.seconds = time.perf_counter() - began
    return outcome


async def _attempt(session: aiohttp.ClientSession, order: Order, headers: Mapping[str, str]) -> Outcome:
    body = orjson.dumps({"lines": [{"sku": sku, "quantity": quantity} for sku, quantity in order.lines]})
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
    try:
        async with session.post("/api/v1/orders", data=body, headers=headers, timeout=timeout) as answer:
            return _read(order, answer, await answer.read())
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return Outcome(order, None, "no_answer", {"detail": f"{type(error).__name__}: {error}"}, passing=True)


def _read(order: Order, answer: aiohttp.ClientResponse, body: bytes) -> Outcome:
    try:
        document = orjson.loads(body)
    except ValueError:
        document = {}
    wait = answer.headers.get("Retry-After", "")
    return Outcome(
        order,
        answer.status,
        # an answer without a reason is not from our gateway, but from something before it
        document.get("reason", f"http_{answer.status}"),
        document,
        replayed=answer.headers.get("Idempotent-Replayed") == "true",
        passing=answer.status in PASSING or bool(wait),
        retry_after=float(wait) if wait.isdecimal() else 0,
    )
