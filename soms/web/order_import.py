"""Importing orders of the past, as many as there are: an order a line in, a report a line out, and at the end the sum.

Part of the noun order.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from itertools import zip_longest
from typing import Any, Final

from soms.errors import DeadlineExceeded, SomsError, Unavailable
from soms.past import PastOrder
from soms.rpc import context
from soms.rpc.context import Call, calling
from soms.rpc.gen.soms import v1
from soms.web.auth import Access
from soms.web.ndjson import Line, Lines, LineStream, batches
from soms.web.routes import Answer, Request, route
from soms.web.shapes import given

# of a call to the order service: order lines, with so many more for each order
BATCH_WEIGHT: Final = 10_000
ORDER_WEIGHT: Final = 20
PATIENCE_SECONDS: Final = 0.25
CALL_SECONDS: Final = 20.0
# an import is repeatable by nature
TRIES: Final = 4
PAUSE_SECONDS: Final = 0.25
# a message may have 1 MiB
MESSAGE_LINES: Final = 1_000
TEXTS: Final = ("email", "external_user", "name", "country", "cancels")
Json = dict[str, Any]
ImportLine = Line[PastOrder]


@route("POST", "/orders/import", Access.STAFF, seconds=TRIES * CALL_SECONDS)
async def import_orders(request: Request[Lines[PastOrder]]) -> Answer[LineStream]:
    """Import orders of the past: an order a line, any number of lines; quantities and prices may be negative or zero.

    Each line is answered by one of `{line, external_number, outcome, order_id, reason, detail}` with the outcome `created`, `replayed`
    (the same was imported before) or `refused`; the last line is `{summary: {created, replayed, refused, units, value}}`, of what was
    created or replayed. An answer without it is not all. What `cancels` a whole order makes that one `cancelled`; what undoes a part,
    or an order that is not known, is an order of its own. No stock moves and nobody is notified. Send the same again after any trouble.
    """
    reports = _reports(request)
    return Answer(LineStream(await anext(reports), reports))


async def _reports(request: Request[Lines[PastOrder]]) -> AsyncGenerator[list[Json], None]:
    """A report on each line, batch by batch, then the summary. Raises what the first batch met, where nothing was imported yet."""
    counts, units, value = Counter[str](), 0, Counter[str]()
    async with aclosing(batches(request.input, BATCH_WEIGHT, _weight, PATIENCE_SECONDS)) as coming:
        async for batch in coming:
            orders = [line.item for line in batch if line.item]
            try:
                outcomes = iter(await _imported(request, orders) if orders else ())
            except SomsError as trouble:
                if not counts:
                    raise
                outcomes = iter([v1.ImportOutcome(reason=trouble.reason, message=trouble.message)] * len(orders))
            told = [_report(line, next(outcomes) if line.item else None) for line in batch]
            counts.update(report["outcome"] for report in told)
            stand = [line.item for line, report in zip(batch, told, strict=True) if line.item and report["order_id"]]
            units += sum(order.units for order in stand)
            for order in stand:
                value[order.currency] += order.total
            yield told
    words = {word: counts[word] for word in ("created", "replayed", "refused")}
    yield [{"summary": {**words, "units": units, "value": dict(value)}}]


def _weight(line: ImportLine) -> int:
    return ORDER_WEIGHT + (len(line.item.lines) if line.item else 0)


async def _imported(request: Request[Any], orders: Sequence[PastOrder]) -> list[v1.ImportOutcome]:
    """What became of each of these orders; what is passing is tried again."""
    call = context.current() or Call(0.0)
    for attempt in range(TRIES):
        try:
            with calling(call._replace(deadline=time.monotonic() + CALL_SECONDS)):
                outcomes = (await request.services.orders.import_orders(list(_messages(orders)))).outcomes
                return [given(outcome) for _, outcome in zip_longest(orders, outcomes)]
        except (Unavailable, DeadlineExceeded):
            if attempt == TRIES - 1:
                raise
            await asyncio.sleep(PAUSE_SECONDS * 2**attempt)
    raise AssertionError


def _messages(orders: Sequence[PastOrder]) -> Iterator[v1.ImportOrdersRequest]:
    for order in orders:
        texts = {name: getattr(order, name) or "" for name in TEXTS}
        head: v1.PastOrder | None = v1.PastOrder(order.external_number, order.placed_at, order.currency, **texts)
        lines = [v1.PastLine(line.sku, line.name or "", line.quantity, line.unit_price) for line in order.lines]
        for start in range(0, len(lines), MESSAGE_LINES):
            yield v1.ImportOrdersRequest(head, lines[start : start + MESSAGE_LINES])
            head = None


def _report(line: ImportLine, outcome: v1.ImportOutcome | None) -> Json:
    """What is told of a line."""
    reason, detail, order_id = None, None, None
    if outcome is None:
        refusal = line.refusal or SomsError()
        reason, detail = refusal.reason, refusal.message
    else:
        order_id, reason, detail = outcome.order_id or None, outcome.reason or None, outcome.message or None
    sent = line.sent.get("external_number") if isinstance(line.sent, dict) else None
    return {
        "line": line.number,
        "external_number": sent if isinstance(sent, str) else None,
        "outcome": "refused" if reason else "replayed" if outcome and outcome.replayed else "created",
        "order_id": order_id,
        "reason": reason,
        "detail": detail,
    }


ROUTES: Final = (import_orders,)
