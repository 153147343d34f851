"""Orders of the past on the wire: from a stream of messages to batches for the domain, and what became of each. Part of the noun order."""

from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, Final
from uuid import UUID

from pydantic import ValidationError

from soms.errors import InvalidArgument, ResourceExhausted, SomsError
from soms.models.order_import import Outcome, import_orders
from soms.past import PastOrder
from soms.rpc.errors import MESSAGE_LIMIT_CHARACTERS, refused
from soms.rpc.gen.soms import v1
from soms.values import MAXIMUM_ENTRY_LINES

# of a transaction: so that it holds few locks and neither waits nor fails for long
BATCH_ORDERS: Final = 200
BATCH_LINES: Final = 5_000
# of a call: its answer is one message
CALL_ORDERS: Final = 5_000
IMPORT_SECONDS: Final = 60.0
HEAD: Final = ("external_number", "placed_at", "currency", "email", "external_user", "name", "country", "cancels")
LINE: Final = ("sku", "name", "quantity", "unit_price")
Read = PastOrder | SomsError


async def imported(messages: AsyncIterable[v1.ImportOrdersRequest], staff: UUID) -> v1.ImportOrdersResponse:
    """Import what comes, batch by batch, in the name of `staff`; raises ResourceExhausted for more orders than a call may bring."""
    outcomes: list[v1.ImportOutcome] = []
    batch: list[Read] = []
    lines = 0
    async for order in _orders(messages):
        if len(outcomes) + len(batch) == CALL_ORDERS:
            raise ResourceExhausted(f"a call may bring {CALL_ORDERS:,} orders; those of full batches are imported", reason="too_large")
        batch.append(order)
        lines += len(order.lines) if isinstance(order, PastOrder) else 0
        if len(batch) == BATCH_ORDERS or lines >= BATCH_LINES:
            outcomes += await _batch(batch, staff)
            batch, lines = [], 0
    return v1.ImportOrdersResponse(outcomes + await _batch(batch, staff))


async def _batch(batch: list[Read], staff: UUID) -> list[v1.ImportOutcome]:
    wanted = [order for order in batch if isinstance(order, PastOrder)]
    done = iter(await import_orders(wanted, staff) if wanted else ())
    return [_message(next(done) if isinstance(order, PastOrder) else Outcome(None, refusal=order)) for order in batch]


async def _orders(messages: AsyncIterable[v1.ImportOrdersRequest]) -> AsyncIterator[Read]:
    """Each order with all of its lines, or what is wrong with it."""
    head: v1.PastOrder | None = None
    lines: list[v1.PastLine] = []
    async for message in messages:
        if message.order is not None:
            if head is not None:
                yield _order(head, lines)
            head, lines = message.order, []
        elif head is None:
            raise InvalidArgument("lines before the first order", reason="malformed_message")
        # one too many is enough to be refused
        lines += message.lines[: MAXIMUM_ENTRY_LINES + 1 - len(lines)]
    if head is not None:
        yield _order(head, lines)


def _order(head: v1.PastOrder, lines: list[v1.PastLine]) -> Read:
    said: dict[str, Any] = {name: getattr(head, name) for name in HEAD}
    said["lines"] = [{name: getattr(line, name) for name in LINE} for line in lines]
    try:
        return PastOrder.model_validate(said)
    except ValidationError as error:
        return refused(error)


def _message(outcome: Outcome) -> v1.ImportOutcome:
    refusal = outcome.refusal
    if refusal is None:
        return v1.ImportOutcome(order_id=outcome.order_id or "", replayed=outcome.replayed)
    return v1.ImportOutcome(reason=refusal.reason, message=refusal.message[:MESSAGE_LIMIT_CHARACTERS])
