"""The order service: `python -m soms.rpc.order`. Converts messages, calls the domain, converts back."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

from soms.config import Settings
from soms.discovery import Directory
from soms.errors import PermissionDenied
from soms.models import idempotency, order_document, placement
from soms.models.database import connected
from soms.models.draft import Placement
from soms.models.idempotency import Answer
from soms.models.order import Action
from soms.models.transition import Actor, Change, change
from soms.pulse import Pulse
from soms.rpc import client, context
from soms.rpc import order_messages as messages
from soms.rpc.access import allows
from soms.rpc.gen.soms import v1
from soms.rpc.order_entry import entered
from soms.rpc.order_import import IMPORT_SECONDS, imported
from soms.rpc.placing import Placing
from soms.rpc.server import serve
from soms.tokens import Identity
from soms.values import IdempotencyKey, Value

PRUNE_SECONDS = 3600.0


class Claim(Value):
    """A key for a change elsewhere."""

    idempotency_key: IdempotencyKey


class OrderServicer(v1.OrderServiceBase):
    """`soms.v1.OrderService`."""

    def __init__(self, placing: Placing, users: v1.UserServiceStub) -> None:
        """`users` is asked in the name of the caller."""
        self._placing, self._users = placing, users

    @allows("customer")
    async def place_order(self, message: v1.PlaceOrderRequest) -> v1.PlaceOrderResponse:
        """Place an order for the caller."""
        who, call = context.caller(), context.current()
        asked = messages.PlaceOrder(**messages.members(message, "idempotency_key", "lines", "shipping_address", "note"))
        wanted = Placement(
            user_id=context.person(),
            email=who.email or "",
            key=asked.idempotency_key,
            lines=messages.merged(asked.lines),
            shipping_address=asked.shipping_address.model_dump() if asked.shipping_address else None,
            note=asked.note,
            request_id=call.request_id if call else None,
            traceparent=call.traceparent if call else None,
        )
        answer = await self._placing.place(wanted)
        return v1.PlaceOrderResponse(messages.order(answer.document), answer.replayed)

    @allows("staff")
    async def enter_order(self, message: v1.EnterOrderRequest) -> v1.EnterOrderResponse:
        """Place an order for a customer or a guest."""
        answer = await self._placing.place(await entered(message, self._users))
        return v1.EnterOrderResponse(messages.order(answer.document), answer.replayed)

    @allows("staff", limit_seconds=IMPORT_SECONDS)
    async def import_orders(self, messages: AsyncIterator[v1.ImportOrdersRequest]) -> v1.ImportOrdersResponse:
        """Import orders of the past."""
        return await imported(messages, context.person())

    @allows("customer", "service")
    async def get_order(self, message: v1.GetOrderRequest) -> v1.GetOrderResponse:
        """One order."""
        found = await order_document.read(messages.identity(message.id), _owner(context.caller()))
        return v1.GetOrderResponse(messages.order(found))

    @allows("customer")
    async def list_orders(self, message: v1.ListOrdersRequest) -> v1.ListOrdersResponse:
        """A page of orders."""
        owner = _owner(context.caller())
        user_id = messages.identity(message.user_id) if message.user_id else owner
        if owner and user_id != owner:
            raise PermissionDenied("a customer sees their own orders alone")
        wanted = order_document.Filter(user_id, messages.status(message.status), message.from_, message.to)
        found, token = await order_document.page(wanted, message.page_size, message.page_token)
        return v1.ListOrdersResponse([messages.order(document) for document in found], token)

    @allows("customer")
    async def list_timeline(self, message: v1.ListTimelineRequest) -> v1.ListTimelineResponse:
        """What happened to an order."""
        owner = _owner(context.caller())
        rows, token = await order_document.timeline(messages.identity(message.id), owner, message.page_size, message.page_token)
        return v1.ListTimelineResponse([messages.timeline_entry(row) for row in rows], token)

    @allows("customer")
    async def cancel_order(self, message: v1.CancelOrderRequest) -> v1.CancelOrderResponse:
        """Call an order off."""
        answer = await self._change(Action.CANCEL, message, "reason")
        return v1.CancelOrderResponse(messages.order(answer.document), answer.replayed)

    @allows("customer")
    async def pay_order(self, message: v1.PayOrderRequest) -> v1.PayOrderResponse:
        """Take note of a payment."""
        answer = await self._change(Action.PAY, message, "reference")
        return v1.PayOrderResponse(messages.order(answer.document), answer.replayed)

    @allows("staff")
    async def ship_order(self, message: v1.ShipOrderRequest) -> v1.ShipOrderResponse:
        """Send the goods off."""
        answer = await self._change(Action.SHIP, message, "carrier", "tracking")
        return v1.ShipOrderResponse(messages.order(answer.document), answer.replayed)

    @allows("staff")
    async def deliver_order(self, message: v1.DeliverOrderRequest) -> v1.DeliverOrderResponse:
        """Take note that the goods arrived."""
        answer = await self._change(Action.DELIVER, message)
        return v1.DeliverOrderResponse(messages.order(answer.document), answer.replayed)

    @allows("staff")
    async def return_order(self, message: v1.ReturnOrderRequest) -> v1.ReturnOrderResponse:
        """Take goods back."""
        answer = await self._change(Action.RETURN, message, "lines", "reason")
        return v1.ReturnOrderResponse(messages.order(answer.document), answer.replayed)

    @allows("service")
    async def resolve_order(self, message: v1.ResolveOrderRequest) -> v1.ResolveOrderResponse:
        """What stands under an id, for good."""
        found = await placement.resolve(messages.identity(message.id))
        return v1.ResolveOrderResponse(messages.order(found) if found else None)

    @allows("customer")
    async def claim_key(self, message: v1.ClaimKeyRequest) -> v1.ClaimKeyResponse:
        """Keep a key for a change elsewhere."""
        claim = Claim(idempotency_key=message.idempotency_key)
        await idempotency.take("orders", context.person(), claim.idempotency_key, message.fingerprint)
        return v1.ClaimKeyResponse()

    async def _change(self, action: Action, message: Any, *said: str) -> Answer:
        how, who = message.change or v1.Change(), context.caller()
        remarks = messages.Remarks(idempotency_key=how.idempotency_key or None, **messages.members(message, *said))
        words = [(name, getattr(remarks, name)) for name in said if name != "lines"]
        wanted = Change(
            order_id=messages.identity(how.id),
            action=action,
            actor=Actor("staff" if _owner(who) is None else "customer", str(context.person()), context.person(), _owner(who)),
            if_version=how.if_version,
            key=remarks.idempotency_key or "",
            note=" ".join(word for _, word in words if word) or None,
            members=tuple(words),
            returned=messages.merged(remarks.lines),
        )
        return await change(wanted)


def _owner(who: Identity) -> UUID | None:
    """Whose orders the caller is held to; None for staff and services."""
    return None if who.service or who.roles & {"staff", "admin"} else who.user_id


@contextlib.asynccontextmanager
async def order_service(settings: Settings, directory: Directory) -> AsyncIterator[OrderServicer]:
    """The servicer with its database, its clients and its loops."""
    async with connected(settings, "orders"), client.connected(settings, directory, caller="order") as services:
        placing = Placing(settings.secret("order-id").encode(), services.as_service.products)
        prune = Pulse("pruning idempotency keys", lambda: idempotency.prune("orders"), PRUNE_SECONDS)
        async with prune.running():
            yield OrderServicer(placing, services.users)
            await placing.rounds.drained()


if __name__ == "__main__":
    serve("order", order_service)
