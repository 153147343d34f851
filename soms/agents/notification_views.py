"""The log of notifications over HTTP, for the gateway: staff see all and have some sent again, people see their own."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from aiohttp import web

from soms.agents.views import CUSTOMER, STAFF, Question, view
from soms.errors import InvalidArgument, NotFound
from soms.models import notification_log as log
from soms.models.notification import Channel, Status
from soms.models.notification_log import Filter
from soms.tokens import Verifier


def routes(verifier: Verifier, wake: Callable[[], None]) -> list[web.RouteDef]:
    """The routes; `wake` is called when there is something to send again."""

    async def listed(question: Question) -> Any:
        return await _page(question, _filter(question))

    async def own(question: Question) -> Any:
        return await _page(question, Filter(user_id=question.identity.user_id))

    async def redeliver(question: Question) -> Any:
        try:
            notification_id = UUID(question.path["id"])
        except ValueError as cause:
            raise NotFound("no such notification") from cause
        await log.redeliver(notification_id)
        wake()
        return {}

    return [
        view("GET", "/notifications", verifier, STAFF, listed),
        view("GET", "/users/me/notifications", verifier, CUSTOMER, own),
        view("POST", "/notifications/{id}/redeliver", verifier, STAFF, redeliver),
    ]


async def _page(question: Question, wanted: Filter) -> dict[str, Any]:
    asked = question.query
    try:
        size = int(asked.get("page_size", "0"))
    except ValueError as cause:
        raise InvalidArgument("page_size is no number", reason="invalid_parameter") from cause
    items, token = await log.page(wanted, size, asked.get("page_token", ""))
    return {"items": items, "next_page_token": token}


def _filter(question: Question) -> Filter:
    asked = question.query
    try:
        return Filter(
            order_id=UUID(asked["order_id"]) if "order_id" in asked else None,
            status=Status(asked["status"]) if "status" in asked else None,
            channel=Channel(asked["channel"]) if "channel" in asked else None,
        )
    except ValueError as cause:
        raise InvalidArgument(str(cause), reason="invalid_parameter") from cause
