"""Orders that staff enter, on the wire: from a request to a placement of the domain. Part of the noun order."""

from typing import Annotated, Self
from uuid import UUID, uuid4

from pydantic import Field, model_validator

from soms.errors import InvalidArgument, NotFound
from soms.models.draft import Entry, Placement
from soms.rpc import context
from soms.rpc.gen.soms import v1
from soms.rpc.order_messages import Line, members, merged
from soms.values import (
    MAXIMUM_ENTRY_LINES,
    Email,
    IdempotencyKey,
    Note,
    PostalAddress,
    Price,
    Reason,
    Value,
)


class EntryLine(Line):
    """So many pieces of one SKU, at the catalogue's price unless there is another."""

    unit_price: Price | None = None


class EnterOrder(Value):
    """What staff ask for, within the bounds of rest.md."""

    idempotency_key: IdempotencyKey | None = None
    user_id: UUID | None = None
    email: Email | None = None
    lines: Annotated[list[EntryLine], Field(min_length=1, max_length=MAXIMUM_ENTRY_LINES)]
    shipping_address: PostalAddress | None = None
    note: Note | None = None
    reason: Reason | None = None

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if self.user_id is None and self.email is None:
            raise ValueError("whose order it is must be said: user_id or email")
        return self


async def entered(message: v1.EnterOrderRequest, users: v1.UserServiceStub) -> Placement:
    """What is to be placed; without a key it is an attempt of its own.

    Raises InvalidArgument (`validation_failed`, `unknown_user`), and what `users` raises when asked for the customer's address.
    """
    said = members(message, "user_id", "email", "lines", "shipping_address", "note", "reason")
    asked = EnterOrder(idempotency_key=message.idempotency_key or None, **said)
    call, customer = context.current(), await _email(asked.user_id, users) if asked.user_id else ""
    return Placement(
        user_id=context.person(),
        email=asked.email or customer,
        key=asked.idempotency_key or str(uuid4()),
        lines=merged(asked.lines),
        shipping_address=asked.shipping_address.model_dump() if asked.shipping_address else None,
        note=asked.note,
        request_id=call.request_id if call else None,
        traceparent=call.traceparent if call else None,
        entry=Entry(asked.user_id, asked.email, tuple((line.sku, line.quantity, line.unit_price) for line in asked.lines), asked.reason),
    )


async def _email(user_id: UUID, users: v1.UserServiceStub) -> str:
    """Where a customer is reached."""
    try:
        found = (await users.get_user(v1.GetUserRequest(id=str(user_id)))).user
    except NotFound:
        found = None
    if found is None or not found.email:
        raise InvalidArgument("there is no such customer", reason="unknown_user")
    return found.email
