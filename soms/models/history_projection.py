"""Events of orders into facts: in any order, again or late, they come to the same rows. Knows no Kafka.

What the newest version of an order tells stands; when it came to a state is told by the event of that step alone.
"""

import datetime as dt
import hmac
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import asyncpg

from soms.config import Settings
from soms.envelope import Envelope
from soms.errors import InvalidArgument
from soms.events import OrderCancelled, OrderDelivered, OrderEvent, OrderPaid, OrderReturned, OrderShipped
from soms.models.database import fetch, transaction
from soms.models.inbox import receive

SCHEMA: Final = "analytics"
CONSUMER: Final = "history"
# a rebuild fills copies of the tables here, then puts them in the place of those that stand
SHADOW: Final = "analytics_shadow"
# shared by whoever writes facts, exclusive for who makes, swaps or drops the copies
FACTS_LOCK: Final = 7_236_850
SHARE: Final = f"select pg_advisory_xact_lock_shared({FACTS_LOCK})"
# what an event may say and no column holds: numbers beyond 64 bits, prices below zero
UNFIT: Final = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
Refusals = list[InvalidArgument | None]
COPIES: Final = f"select to_regnamespace('{SHADOW}') is not null as there"
MILESTONES: Final[dict[type[OrderEvent], str]] = {
    OrderPaid: "paid_at",
    OrderShipped: "shipped_at",
    OrderDelivered: "delivered_at",
    OrderCancelled: "cancelled_at",
    OrderReturned: "returned_at",
}
TOLD: Final = {
    "version": "bigint",
    "number": "text",
    "user_id": "uuid",
    "customer": "uuid",
    "country": "text",
    "currency": "text",
    "status": "text",
    "total": "bigint",
    "units": "bigint",
    "placed_at": "timestamptz",
}
COLUMNS: Final = {"order_id": "uuid", **TOLD, **dict.fromkeys(MILESTONES.values(), "timestamptz")}
LINE: Final = {
    "order_id": "uuid",
    "position": "int",
    "sku": "text",
    "name": "text",
    "quantity": "int",
    "returned_quantity": "int",
    "unit_price": "bigint",
}


def _given(columns: dict[str, str]) -> str:
    arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(columns.values(), 1))
    return f"unnest({arrays}) as given ({', '.join(columns)})"


NEWER: Final = ", ".join(f"{one} = case when excluded.version > fact.version then excluded.{one} else fact.{one} end" for one in TOLD)
FIRST: Final = ", ".join(f"{one} = least(fact.{one}, excluded.{one})" for one in MILESTONES.values())
# in the order of ids, so that rivals with the same orders wait for each other one way round alone
PUT_ORDERS: Final = f"""
insert into {{schema}}.order_fact as fact ({", ".join(COLUMNS)}) select * from {_given(COLUMNS)} order by order_id
on conflict (order_id) do update set {NEWER}, {FIRST}
returning order_id, version
"""
PUT_LINES: Final = f"insert into {{schema}}.line_fact ({', '.join(LINE)}) select * from {_given(LINE)} on conflict do nothing"
CHANGE_LINES: Final = f"""
update {{schema}}.line_fact as fact set name = given.name, returned_quantity = given.returned_quantity from {_given(LINE)}
 where fact.order_id = given.order_id and fact.position = given.position
   and (fact.name, fact.returned_quantity) is distinct from (given.name, given.returned_quantity)
"""


@dataclass
class Told:
    """What some events tell of one order."""

    newest: OrderEvent
    milestones: dict[str, dt.datetime] = field(default_factory=dict)

    def add(self, event: OrderEvent) -> None:
        """Take one more."""
        if event.version > self.newest.version:
            self.newest = event
        # goods that come back in part leave an order where it is
        if (name := MILESTONES.get(type(event))) and (name != "returned_at" or event.status == "returned"):
            self.milestones[name] = min(event.at, self.milestones.get(name, event.at))


class Projection:
    """Writes facts; people are known by ids, guests by what a secret makes of their mail address."""

    def __init__(self, settings: Settings) -> None:
        """Of the stack with these settings."""
        self._key = settings.secret("customer").encode()

    async def project(self, envelopes: Sequence[Envelope]) -> Refusals:
        """Take events into history, each once, in one transaction; into the copies of a rebuild under way, too.

        Gives for each why it is refused (`event_id_reused`, or `validation_failed` where it does not fit), if it is. Raises Unavailable:
        then what was not done before comes again.
        """
        return await _fitting(self._project, envelopes)

    async def copy(self, envelopes: Sequence[Envelope]) -> Refusals:
        """Take events into the copies alone; gives and raises what `project` does."""
        return await _fitting(self._copy, envelopes)

    async def _copy(self, envelopes: Sequence[Envelope]) -> Refusals:
        async with transaction(SCHEMA):
            await self.write(SHADOW, [one.event for one in envelopes])
        return [None] * len(envelopes)

    async def _project(self, envelopes: Sequence[Envelope]) -> Refusals:
        async with transaction(SCHEMA):
            await fetch(SCHEMA, SHARE)
            verdicts = await receive(SCHEMA, CONSUMER, envelopes)
            events = [one.event for one, new in zip(envelopes, verdicts, strict=True) if new is True]
            await self.write(SCHEMA, events)
            [copies] = await fetch(SCHEMA, COPIES)
            if copies["there"]:
                await self.write(SHADOW, [one.event for one, new in zip(envelopes, verdicts, strict=True) if isinstance(new, bool)])
        return [verdict if isinstance(verdict, InvalidArgument) else None for verdict in verdicts]

    async def write(self, schema: str, events: Iterable[Any]) -> None:
        """Write what events tell into the tables of `schema`, in the transaction under way."""
        told: dict[UUID, Told] = {}
        for event in events:
            if isinstance(event, OrderEvent):
                told.setdefault(event.order_id, Told(event)).add(event)
        if not told:
            return
        rows = [self._row(one) for one in told.values()]
        standing = await fetch(SCHEMA, PUT_ORDERS.format(schema=schema), *map(list, zip(*rows, strict=True)))
        lines = [
            line
            for row in standing
            if row["version"] == told[row["order_id"]].newest.version
            for line in _lines(told[row["order_id"]].newest)
        ]
        if lines:
            columns = list(map(list, zip(*lines, strict=True)))
            await fetch(SCHEMA, PUT_LINES.format(schema=schema), *columns)
            await fetch(SCHEMA, CHANGE_LINES.format(schema=schema), *columns)

    def _row(self, told: Told) -> tuple[Any, ...]:
        event = told.newest
        units = sum(line.quantity for line in event.lines)
        members = {**event.model_dump(include={*TOLD}), "customer": self.customer(event), "units": units, **told.milestones}
        return event.order_id, *(members.get(name) for name in (*TOLD, *MILESTONES.values()))

    def customer(self, event: OrderEvent) -> UUID | None:
        """Who ordered: an account, or else what stands for a guest or for a customer of another system; None where nobody is known."""
        if event.user_id:
            return event.user_id
        known = f"user {event.external_user}" if event.external_user else event.email and f"mail {event.email.strip().lower()}"
        return UUID(bytes=hmac.digest(self._key, known.encode(), "sha256")[:16], version=5) if known else None


async def _fitting(take: Callable[[Sequence[Envelope]], Awaitable[Refusals]], envelopes: Sequence[Envelope]) -> Refusals:
    """Take all together; where one does not fit, halves of them, down to the one that is refused."""
    try:
        return await take(envelopes)
    except UNFIT as error:
        if len(envelopes) == 1:
            return [InvalidArgument(f"history cannot hold it: {error}")]
        half = len(envelopes) // 2
        return [*await _fitting(take, envelopes[:half]), *await _fitting(take, envelopes[half:])]


def _lines(event: OrderEvent) -> Iterable[tuple[Any, ...]]:
    for position, line in enumerate(event.lines, 1):
        yield event.order_id, position, line.sku, line.name, line.quantity, line.returned_quantity, line.unit_price
