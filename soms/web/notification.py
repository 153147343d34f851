"""What people were told: the log of notifications, one's own and everybody's, and telling it again."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal

from typing_extensions import TypedDict

from soms.web.auth import Access
from soms.web.paging import Items, Paging
from soms.web.queries import Identifier
from soms.web.routes import Answer, Request, route
from soms.web.shapes import Nothing, Timestamp, Uuid, shape, timestamp

SERVICE: Final = "NOTIFICATION-SERVICE"
SECONDS: Final = 4.0
Channel = Literal["email", "sms", "webhook"]
Status = Literal["pending", "sent", "failed", "suppressed", "held"]


@shape()
class NotificationFilters(Paging, total=False):
    """Which notifications to list: of an order, in a status, by a channel."""

    order_id: Identifier
    status: Status
    channel: Channel


@shape()
class NotificationPaging(Paging, total=False):
    """Which of one's own notifications to list."""


class Attempt(TypedDict):
    """One try: `sent`, `failed` (tried again, unless it was the last) or `refused` for good; `detail` is what the other side said."""

    at: Timestamp
    outcome: Literal["sent", "failed", "refused"]
    detail: str | None


class Notification(TypedDict):
    """One message to one recipient about one event.

    `suppressed` was not wanted; `held` waits for the end of quiet hours, `pending` for its next attempt, until `next_attempt_at`.
    """

    id: Uuid
    event_id: Uuid
    event_type: str
    order_id: Uuid | None
    channel: Channel
    recipient: str
    status: Status
    attempts: list[Attempt]
    next_attempt_at: Timestamp | None
    created_at: Timestamp
    sent_at: Timestamp | None


@route("GET", "/notifications", Access.STAFF, seconds=SECONDS)
async def list_notifications(request: Request[NotificationFilters]) -> Answer[Items[Notification]]:
    """Notifications, newest first."""
    asked = request.input
    filters = {"order_id": asked.get("order_id"), "status": asked.get("status"), "channel": asked.get("channel")}
    return await _listed(request, "/notifications", filters)


@route("GET", "/users/me/notifications", Access.CUSTOMER, seconds=SECONDS)
async def list_my_notifications(request: Request[NotificationPaging]) -> Answer[Items[Notification]]:
    """What one was told oneself, newest first."""
    return await _listed(request, "/users/me/notifications", {})


@route("POST", "/notifications/{id}/redeliver", Access.STAFF, status=202, seconds=SECONDS, reasons=("failed_precondition",))
async def redeliver_notification(request: Request[Nothing]) -> Answer[None]:
    """Have one sent again; asked twice, it is sent once. What its recipient does not want, or is not kept any more, is refused."""
    await request.agents.ask(SERVICE, "POST", f"/notifications/{request.path['id']}/redeliver")
    return Answer(None)


async def _listed(request: Request[Any], path: str, filters: Mapping[str, str | None]) -> Answer[Items[Notification]]:
    page = request.page
    found = await request.agents.ask(SERVICE, "GET", path, page_size=page.size, page_token=page.token, **filters)
    return Answer(page.of(map(_notification, found["items"]), found["next_page_token"]))


def _notification(found: Mapping[str, Any]) -> Notification:
    return Notification(
        id=found["id"],
        event_id=found["event_id"],
        event_type=found["event_type"],
        order_id=found["order_id"],
        channel=found["channel"],
        recipient=found["recipient"],
        status=found["status"],
        attempts=[Attempt(at=_time(one["at"]) or "", outcome=one["outcome"], detail=one["detail"]) for one in found["attempts"]],
        next_attempt_at=_time(found["next_attempt_at"]),
        created_at=_time(found["created_at"]) or "",
        sent_at=_time(found["sent_at"]),
    )


def _time(text: str | None) -> Timestamp | None:
    return timestamp(datetime.fromisoformat(text).astimezone(UTC)) if text else None


ROUTES: Final = (list_notifications, list_my_notifications, redeliver_notification)
