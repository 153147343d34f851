"""A load that writes down what it wants and what it is answered: orders are placed, led on, and looked for at the end."""

import asyncio
import contextlib
import random
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from bench.field import Field
from bench.http import Client
from soms.cli.token import issued
from soms.errors import SomsError
from soms.rpc.client import Services

SKUS = 40
CUSTOMERS = 4
ANSWER_SECONDS = 10
TOKEN_SECONDS = 240
DOUBT_SECONDS = 120
STEPS = ("pay", "ship", "deliver", "return")
CREATED = 201
OK = 200
AWAY = (SomsError, OSError, EOFError, TimeoutError, ValueError, IndexError, StopIteration)


@dataclass
class Journal:
    """Intents by key, answers by key (ids of orders), statuses of all answers, seconds that placements took."""

    intents: dict[str, Any] = field(default_factory=dict)
    placed: dict[str, str] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    steps: Counter[str] = field(default_factory=Counter)
    done: bool = False

    def report(self) -> str:
        """The figures in a line."""
        took = sorted(self.seconds) or [0.0]
        p50, p99 = (took[int(len(took) * share)] * 1000 for share in (0.5, 0.99))
        return f"{len(self.placed):,} orders placed, p50 {p50:.0f} ms, p99 {p99:.0f} ms; answers: {dict(self.statuses.most_common())}"


class Person:
    """Somebody who asks over a connection of their own, again where it broke, with a token that is made anew in time."""

    def __init__(self, stack: Field, services: Services, journal: Journal, email: str, role: str = "customer") -> None:
        """Nothing is asked yet; `services` make accounts and tokens."""
        self.stack, self.services, self.journal, self.email, self.role = stack, services, journal, email, role
        self.token, self.since = "", -TOKEN_SECONDS * 2.0
        self.client: Client | None = None

    async def ask(self, what: str, *request: Any) -> tuple[int, Any]:
        """Status and body; status 0 where there was no answer. `what` is noted with the status."""
        try:
            await self.sign_in()
            async with asyncio.timeout(ANSWER_SECONDS):
                status, body = await (await self._connected()).ask(*request)
        except AWAY:
            status, body = 0, None
            await self._hang_up()
        self.journal.statuses[f"{what} {status}"] += 1
        return status, body

    async def _hang_up(self) -> None:
        client, self.client = self.client, None
        if client:
            await client.__aexit__(None, None, None)

    async def sign_in(self) -> None:
        """Have a token that is good for a while. Raises SomsError where there is none to be had."""
        if time.monotonic() - self.since > TOKEN_SECONDS:
            token = await issued(self.services, self.email, self.role)
            await self._hang_up()
            self.token, self.since = token, time.monotonic()

    async def _connected(self) -> Client:
        if self.client is None:
            client = Client(self.stack.port, self.token)
            self.client = await client.__aenter__()
        return self.client


@contextlib.asynccontextmanager
async def loaded(stack: Field, services: Services, rate: float, seed: int) -> AsyncIterator[Journal]:
    """`rate` orders a second and about as many changes beside the block; at its end each intent is repeated until it is answered."""
    journal = Journal()
    staff = [Person(stack, services, journal, "chaos-staff@example.org", "staff") for _ in range(2)]
    customers = [Person(stack, services, journal, f"chaos-{n}@example.org") for n in range(CUSTOMERS)]
    for person in (*staff, *customers):
        await person.sign_in()
    for n, person in enumerate(customers):
        await _reachable(person, f"+4479{n:08}")
    skus = await _goods(staff[0])
    async with asyncio.TaskGroup() as group:
        for n, person in enumerate(customers):
            group.create_task(_customer(person, skus, CUSTOMERS / rate, random.Random(seed * 100 + n)))
        for n, person in enumerate(staff):
            group.create_task(_clerk(person, len(staff) / rate, random.Random(seed * 100 + 50 + n)))
        try:
            yield journal
        finally:
            journal.done = True
    await _settled(journal)


async def lost(stack: Field, services: Services, journal: Journal) -> list[str]:
    """Ids of orders that were answered and are not there."""
    staff = Person(stack, services, journal, "chaos-staff@example.org", "staff")
    found = []
    for order_id in journal.placed.values():
        status, _ = await staff.ask("read", "GET", f"/orders/{order_id}")
        if status != OK:
            found.append(order_id)
    return found


async def _reachable(person: Person, phone: str) -> None:
    """News of their orders come by mail and as text messages."""
    wishes = {"email": {"orders": True, "news": False}, "sms": {"orders": True, "news": False}, "quiet_hours": None}
    told = [
        await person.ask("phone", "PATCH", "/users/me", {"phone": phone}),
        await person.ask("wishes", "PUT", "/users/me/preferences", wishes | {"time_zone": "UTC", "locale": "en-GB"}),
    ]
    if [status for status, _ in told] != [OK, OK]:
        raise SystemExit(f"cannot say how to be reached: {told}")


async def _goods(staff: Person) -> list[str]:
    prefix = f"CHAOS-{uuid.uuid4().hex[:6]}"
    for n in range(SKUS):
        body = {"sku": f"{prefix}-{n}", "name": f"Chaos {n}", "price": 100 + n, "currency": "GBP", "on_hand": 100_000}
        status, answer = await staff.ask("goods", "POST", "/products", body)
        if status != CREATED:
            raise SystemExit(f"cannot make the catalogue: {status} {answer}")
    return [f"{prefix}-{n}" for n in range(SKUS)]


async def _customer(person: Person, skus: list[str], pause: float, chance: random.Random) -> None:
    """Place orders at this pace; what gets no answer stays open."""
    journal = person.journal
    while not journal.done:
        start = time.monotonic()
        key = uuid.uuid4().hex
        body = {"lines": [{"sku": sku, "quantity": chance.randint(1, 3)} for sku in chance.sample(skus, 2)]}
        journal.intents[key] = (person, body)
        await _place(key, journal)
        await asyncio.sleep(max(0.0, chance.uniform(0.5, 1.5) * pause - (time.monotonic() - start)))


async def _place(key: str, journal: Journal) -> None:
    person, body = journal.intents[key]
    start = time.monotonic()
    status, answer = await person.ask("place", "POST", "/orders", body, key)
    if status == CREATED:
        journal.placed[key] = answer["id"]
        journal.seconds.append(time.monotonic() - start)


async def _clerk(staff: Person, pause: float, chance: random.Random) -> None:
    """Lead orders on: cancel some, bring others as far as it goes."""
    journal = staff.journal
    while not journal.done:
        await asyncio.sleep(chance.uniform(0.5, 1.5) * pause)
        if not (recent := list(journal.placed.values())[-200:]):
            continue
        order_id = chance.choice(recent)
        step = journal.steps[order_id]
        action = "cancel" if step <= 1 and chance.random() < 0.1 else STEPS[min(step, len(STEPS) - 1)]
        status, _ = await staff.ask(action, "POST", f"/orders/{order_id}/{action}", {})
        journal.steps[order_id] += status == OK


async def _settled(journal: Journal) -> None:
    """Repeat what got no answer, with its key, until it has one."""
    deadline = time.monotonic() + DOUBT_SECONDS
    while (open_ := [key for key in journal.intents if key not in journal.placed]) and time.monotonic() < deadline:
        for key in open_:
            await _place(key, journal)
        await asyncio.sleep(0.5)
    if open_:
        raise SystemExit(f"{len(open_)} orders got no answer within {DOUBT_SECONDS} s: {dict(journal.statuses)}")
