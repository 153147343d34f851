"""Leading an order on: each change is one guarded, versioned update with a timeline entry and an outbox row, in one transaction."""

from collections import Counter
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from soms.errors import Aborted, FailedPrecondition, InvalidArgument
from soms.events import OrderCancelled, OrderDelivered, OrderEvent, OrderPaid, OrderReturned, OrderShipped
from soms.models.database import fetch
from soms.models.idempotency import Answer, fingerprint, once
from soms.models.order import ALLOWED, Action, Status
from soms.models.order_document import Document, order_event, read
from soms.models.outbox import append

EVENTS: dict[Action, type[OrderEvent]] = {
    Action.CANCEL: OrderCancelled,
    Action.PAY: OrderPaid,
    Action.SHIP: OrderShipped,
    Action.DELIVER: OrderDelivered,
    Action.RETURN: OrderReturned,
}
CHANGE = """
update orders set status = $4, version = version + 1, updated_at = now()
 where id = $1 and status = $2 and version = $3 returning version
"""
NOTE = """
insert into timeline (order_id, version, at, status_from, status_to, actor_type, actor_id, note) values ($1, $2, now(), $3, $4, $5, $6, $7)
"""
LOCK = "select 1 from orders where id = $1 for update"
LINES = "select position, sku, quantity, returned_quantity from order_line where order_id = $1 order by position"
TAKE_BACK = """
update order_line set returned_quantity = returned_quantity + pieces
  from unnest($2::int[], $3::int[]) as back (line, pieces) where order_id = $1 and position = line
"""


@dataclass(frozen=True)
class Actor:
    """Who changes an order: `type` is customer, staff or service; a customer is held to their own orders by `owner`."""

    type: str
    id: str
    account: UUID
    owner: UUID | None = None


@dataclass(frozen=True)
class Change:
    """What is to be done to an order; `members` go into its event, `returned` are SKU and pieces that came back (empty: all)."""

    order_id: UUID
    action: Action
    actor: Actor
    if_version: int | None = None
    key: str = ""
    note: str | None = None
    members: tuple[tuple[str, str | None], ...] = ()
    returned: tuple[tuple[str, int], ...] = ()

    @property
    def fingerprint(self) -> bytes:
        """The same for requests that mean the same."""
        return fingerprint(f"{self.action}:{self.order_id}", [self.members, sorted(self.returned)])


async def change(wanted: Change) -> Answer:
    """Do it, at most once per key; the answer is the order after it.

    Raises NotFound, Aborted (`stale_version`, `in_flight`), FailedPrecondition (`invalid_transition` with `order_status` and `allowed`,
    `over_return`), InvalidArgument (`unknown_sku`, `idempotency_mismatch`).
    """
    return await once("orders", wanted.actor.account, wanted.key, wanted.fingerprint, lambda: _change(wanted))


async def _change(wanted: Change) -> Document:
    await fetch("orders", LOCK, wanted.order_id)
    before = await read(wanted.order_id, wanted.actor.owner)
    after = _permitted(wanted, before)
    members: dict[str, Any] = dict(wanted.members)
    if wanted.action is Action.RETURN:
        members["returned"], whole = await _take_back(wanted)
        after = after if whole else Status(before["status"])
    (row,) = await fetch("orders", CHANGE, wanted.order_id, before["status"], before["version"], after)
    actor = wanted.actor
    await fetch("orders", NOTE, wanted.order_id, row["version"], before["status"], after, actor.type, actor.id, wanted.note)
    document = await read(wanted.order_id)
    await append("orders", order_event(EVENTS[wanted.action], document, **members))
    return document


def _permitted(wanted: Change, before: Document) -> Status:
    """Where the action leads from here."""
    if wanted.if_version is not None and wanted.if_version != before["version"]:
        raise Aborted(f"the order is at version {before['version']} now", reason="stale_version")
    allowed = ALLOWED[Status(before["status"])]
    if wanted.action not in allowed:
        raise FailedPrecondition(
            f"cannot {wanted.action} an order that is {before['status']}",
            reason="invalid_transition",
            order_status=before["status"],
            allowed=[action.value for action in allowed],
        )
    return allowed[wanted.action]


async def _take_back(wanted: Change) -> tuple[list[dict[str, Any]], bool]:
    """Count pieces as returned, on the lines of their SKU in order; what came back now, and whether that was the last of it."""
    lines = await fetch("orders", LINES, wanted.order_id)
    left = Counter[str]()
    for line in lines:
        left[line["sku"]] += line["quantity"] - line["returned_quantity"]
    back = Counter(dict(wanted.returned)) or +left
    if unknown := sorted(set(back) - set(left)):
        raise InvalidArgument("not goods of this order", reason="unknown_sku", skus=unknown)
    if over := sorted(sku for sku in back if back[sku] > left[sku]):
        raise FailedPrecondition(f"more than is left of {', '.join(over)}", reason="over_return", skus=over)
    open_, taken = Counter(back), []
    for line in lines:
        pieces = min(open_[line["sku"]], line["quantity"] - line["returned_quantity"])
        open_[line["sku"]] -= pieces
        taken.append(pieces)
    await fetch("orders", TAKE_BACK, wanted.order_id, [line["position"] for line in lines], taken)
    return [{"sku": sku, "quantity": pieces} for sku, pieces in sorted(back.items())], back == +left
