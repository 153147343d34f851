"""Webhooks as staff sets them up, on a real database."""

import asyncio
import base64
from typing import Any
from uuid import UUID, uuid4

import pytest

from soms.errors import Aborted, AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from soms.models import webhook
from soms.models.database import fetch

pytestmark = pytest.mark.usefixtures("database")
URL = "https://hook.example/orders"
MEMBERS = {"id", "url", "event_types", "active", "paused_reason", "created_at", "version"}


async def added(url: str = URL) -> tuple[UUID, dict[str, Any]]:
    """A webhook for everything, by id and document."""
    made = await webhook.add(url, ["*"])
    return UUID(made["id"]), made


async def row() -> dict[str, Any]:
    """The one webhook, with what nobody is shown."""
    [found] = await fetch("notifications", "select * from webhook")
    return dict(found)


async def test_secret_is_told_once() -> None:
    """A new webhook has a secret of 32 bytes, which nothing shows again."""
    webhook_id, made = await added()

    kind, _, text = made["secret"].partition("_")
    shown = [await webhook.show(webhook_id), *(await webhook.page(20, ""))[0]]
    assert (kind, len(base64.b64decode(text, validate=True)), set(made)) == ("whsec", 32, MEMBERS | {"secret"})
    assert [set(document) for document in shown] == [MEMBERS, MEMBERS]


async def test_pages_lead_through_all() -> None:
    """Pages have each webhook once, newest first."""
    ids = [str((await added(f"{URL}/{n}"))[0]) for n in range(5)]
    found, token = [], ""
    for _ in range(3):
        items, token = await webhook.page(2, token)
        found += [item["id"] for item in items]

    assert (found, token) == (ids[::-1], "")
    with pytest.raises(InvalidArgument):
        await webhook.page(2, "nonsense")


async def test_one_webhook_for_an_address() -> None:
    """An address that is taken is refused when added and when changed to."""
    await added()
    other, _ = await added("https://hook.example/other")

    with pytest.raises(AlreadyExists, match="already"):
        await added()
    with pytest.raises(AlreadyExists) as refusal:
        await webhook.change(other, {"url": URL})
    assert refusal.value.reason == "url_taken"


async def test_room_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are so many webhooks at most, as each event goes to all of them."""
    monkeypatch.setattr(webhook, "ROOM", "select 1 where (select count(*) from webhook) < 1")
    await added()

    with pytest.raises(FailedPrecondition) as refusal:
        await added("https://hook.example/second")
    assert refusal.value.reason == "too_many_webhooks"


async def test_changes_count_versions() -> None:
    """A change makes a new version, none makes none, and who saw an older one is refused."""
    webhook_id, _ = await added()

    assert (await webhook.change(webhook_id, {"url": URL, "event_types": ["*"]}))["version"] == 1
    assert (await webhook.change(webhook_id, {"event_types": ["soms.order.paid.v1"]}, 1))["version"] == 2
    for late in (webhook.change(webhook_id, {"active": False}, 1), webhook.rotate(webhook_id, 1), webhook.remove(webhook_id, 1)):
        with pytest.raises(Aborted):
            await late


async def test_rivals_have_one_winner() -> None:
    """Of many who saw the same version, one changes it."""
    webhook_id, _ = await added()
    changes = (webhook.change(webhook_id, {"url": f"{URL}/{n}"}, 1) for n in range(8))
    outcomes = await asyncio.gather(*changes, return_exceptions=True)

    assert sum(isinstance(outcome, dict) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, Aborted) for outcome in outcomes) == 7


async def test_pause_by_hand_and_resume() -> None:
    """Who pauses a webhook sees why, and it is as good as new when resumed."""
    webhook_id, _ = await added()
    await fetch("notifications", "update webhook set failures = 3, failing_since = now(), resting_until = now()")
    paused = await webhook.change(webhook_id, {"active": False})
    resumed = await webhook.change(webhook_id, {"active": True})

    assert (paused["active"], paused["paused_reason"]) == (False, webhook.BY_HAND)
    assert (resumed["active"], resumed["paused_reason"], resumed["version"]) == (True, None, 3)
    found = await row()
    assert (found["failures"], found["failing_since"], found["resting_until"]) == (0, None, None)


async def test_rotation_keeps_the_last_secret() -> None:
    """The secret before holds for a day; one more rotation puts an end to it at once."""
    webhook_id, first = await added()
    second = await webhook.rotate(webhook_id)
    found = await row()
    held = await fetch("notifications", "select previous_until - now() between '23:59' and '24:00' as a_day from webhook")
    third = await webhook.rotate(webhook_id)

    assert (found["secret"], found["previous_secret"], held[0]["a_day"]) == (second["secret"], first["secret"], True)
    found = await row()
    assert (found["secret"], found["previous_secret"], third["version"]) == (third["secret"], second["secret"], 3)


async def test_unknown_ones_are_not_found() -> None:
    """What is removed or never was is not there, whatever is asked of it."""
    webhook_id, _ = await added()
    await webhook.remove(webhook_id)

    for missing in (webhook_id, uuid4()):
        for asked in (webhook.show(missing), webhook.change(missing, {}), webhook.rotate(missing), webhook.remove(missing)):
            with pytest.raises(NotFound):
                await asked
