"""Webhooks: addresses of others that hear of events. Their deliveries are notifications of channel webhook."""

from datetime import datetime
from typing import Any, Final

from typing_extensions import TypedDict

from soms.subscription import EventTypes, Url
from soms.web.auth import Access
from soms.web.paging import Items, Paging
from soms.web.routes import Answer, Request, route
from soms.web.shapes import Nothing, Timestamp, Uuid, shape, timestamp

SERVICE: Final = "NOTIFICATION-SERVICE"
SECONDS: Final = 4.0
EXAMPLE: Final = {"url": "https://example.com/soms", "event_types": ["soms.order.placed.v1", "soms.order.shipped.v1"]}


@shape(EXAMPLE)
class NewWebhook(TypedDict):
    """A webhook to add. Each event is posted to it as `{type, timestamp, data}`, signed as standardwebhooks.com says."""

    url: Url
    event_types: EventTypes


@shape({"active": True})
class WebhookChanges(TypedDict, total=False):
    """What shall change; `active` pauses a webhook or resumes it."""

    url: Url
    event_types: EventTypes
    active: bool


@shape()
class WebhookPaging(Paging, total=False):
    """Which webhooks to list."""


class Webhook(TypedDict):
    """A webhook; `paused_reason` says why it is not active."""

    id: Uuid
    url: str
    event_types: list[str]
    active: bool
    paused_reason: str | None
    created_at: Timestamp


class NewSecret(Webhook):
    """A webhook and its secret, which is shown this once."""

    secret: str


@route("GET", "/webhooks", Access.STAFF, seconds=SECONDS)
async def list_webhooks(request: Request[WebhookPaging]) -> Answer[Items[Webhook]]:
    """All webhooks, newest first."""
    page = request.page
    found = await request.agents.ask(SERVICE, "GET", "/webhooks", page_size=page.size, page_token=page.token)
    return Answer(page.of(map(_webhook, found["items"]), found["next_page_token"]))


@route("POST", "/webhooks", Access.STAFF, status=201, tagged=True, seconds=SECONDS, reasons=("url_taken", "too_many_webhooks"))
async def add_webhook(request: Request[NewWebhook]) -> Answer[NewSecret]:
    """Add a webhook. Addresses that are not public are refused, now and whenever something is sent."""
    made = await request.agents.ask(SERVICE, "POST", "/webhooks", dict(request.input))
    return Answer(_with_secret(made), made["version"], f"/webhooks/{made['id']}")


@route("GET", "/webhooks/{id}", Access.STAFF, tagged=True, seconds=SECONDS)
async def show_webhook(request: Request[None]) -> Answer[Webhook]:
    """One webhook."""
    found = await request.agents.ask(SERVICE, "GET", f"/webhooks/{request.path['id']}")
    return Answer(_webhook(found), found["version"])


@route("PATCH", "/webhooks/{id}", Access.STAFF, tagged=True, seconds=SECONDS, reasons=("url_taken",))
async def change_webhook(request: Request[WebhookChanges]) -> Answer[Webhook]:
    """Change a webhook; what is left out stays."""
    path = f"/webhooks/{request.path['id']}"
    found = await request.agents.ask(SERVICE, "PATCH", path, dict(request.input), if_version=request.if_version)
    return Answer(_webhook(found), found["version"])


@route("DELETE", "/webhooks/{id}", Access.STAFF, status=204, tagged=True, seconds=SECONDS)
async def delete_webhook(request: Request[None]) -> Answer[None]:
    """Remove a webhook; what is on its way to it is not sent any more."""
    await request.agents.ask(SERVICE, "DELETE", f"/webhooks/{request.path['id']}", if_version=request.if_version)
    return Answer(None)


@route("POST", "/webhooks/{id}/rotate-secret", Access.STAFF, tagged=True, seconds=SECONDS)
async def rotate_webhook_secret(request: Request[Nothing]) -> Answer[NewSecret]:
    """Give it a new secret; for 24 hours the one before signs too. Once more within that time, and the oldest ends at once."""
    path = f"/webhooks/{request.path['id']}/rotate-secret"
    found = await request.agents.ask(SERVICE, "POST", path, if_version=request.if_version)
    return Answer(_with_secret(found), found["version"])


def _webhook(found: dict[str, Any]) -> Webhook:
    return Webhook(
        id=found["id"],
        url=found["url"],
        event_types=found["event_types"],
        active=found["active"],
        paused_reason=found["paused_reason"],
        created_at=timestamp(datetime.fromisoformat(found["created_at"])),
    )


def _with_secret(found: dict[str, Any]) -> NewSecret:
    return NewSecret(**_webhook(found), secret=found["secret"])


ROUTES: Final = (list_webhooks, add_webhook, show_webhook, change_webhook, delete_webhook, rotate_webhook_secret)
