"""The log of notifications over REST."""

from typing import Any

import pytest

from soms.errors import FailedPrecondition, InvalidArgument, NotFound

ID = "018f0000-0000-7000-8000-000000000001"


async def test_staff_see_all(client: Any, token: Any, agents: Any) -> None:
    """With filters, in pages; times in UTC, members of the contract."""
    answer = await client("GET", f"/notifications?order_id={ID}&status=sent&channel=email&limit=5", token=token("staff"))
    [item] = answer.json["items"]
    filters = {"order_id": ID, "status": "sent", "channel": "email"}

    assert agents.calls == [("NOTIFICATION-SERVICE", "GET", "/notifications", None, {"page_size": 5, "page_token": "", **filters})]
    assert item == {
        "id": ID,
        "event_id": ID,
        "event_type": "soms.order.placed.v1",
        "order_id": ID,
        "channel": "email",
        "recipient": "ada@example.com",
        "status": "sent",
        "attempts": [{"at": "2026-11-22T09:00:01.500000Z", "outcome": "sent", "detail": "250 OK"}],
        "next_attempt_at": None,
        "created_at": "2026-11-22T10:00:00.000000Z",
        "sent_at": "2026-11-22T10:00:01.500000Z",
    }
    more = await client("GET", f"/notifications?order_id={ID}&status=sent&channel=email&cursor={answer.json['next']}", token=token("staff"))
    assert (more.status, agents.calls[-1][-1]["page_token"]) == (200, "more")


async def test_people_see_their_own(client: Any, token: Any, agents: Any) -> None:
    """And may filter by nothing."""
    answer = await client("GET", "/users/me/notifications", token=token())

    assert (answer.status, len(answer.json["items"])) == (200, 1)
    assert agents.calls[0][2] == "/users/me/notifications"
    assert (await client("GET", "/users/me/notifications?status=sent", token=token())).problem == (400, "invalid_parameter")
    assert (await client("GET", "/notifications", token=token())).problem == (403, "forbidden")


@pytest.mark.parametrize(
    "query", ["status=lost", "channel=pigeon", "order_id=7", "limit=0", "cursor=x", "user_id=1", "status=sent&status=held"]
)
async def test_wrong_filters_are_refused(client: Any, token: Any, agents: Any, query: str) -> None:
    """Before anybody is asked."""
    assert (await client("GET", f"/notifications?{query}", token=token("staff"))).problem == (400, "invalid_parameter")
    assert agents.calls == []


async def test_redelivering(client: Any, token: Any, agents: Any) -> None:
    """Accepted, not done; what cannot be sent again is refused in the agent's words."""
    path = f"/notifications/{ID}/redeliver"
    answer = await client("POST", path, token=token("staff"))
    assert (answer.status, answer.body, agents.calls[0][:3]) == (202, b"", ("NOTIFICATION-SERVICE", "POST", path))
    for error, problem in (
        (FailedPrecondition("its reader did not want it"), (409, "failed_precondition")),
        (NotFound(), (404, "not_found")),
        (InvalidArgument("", reason="invalid_parameter"), (400, "invalid_parameter")),
    ):
        agents.answers["POST", "/notifications/{id}/redeliver"] = error
        assert (await client("POST", path, token=token("staff"))).problem == problem
    assert (await client("POST", path, token=token())).problem == (403, "forbidden")
    assert (await client("POST", "/notifications/7/redeliver", token=token("staff"))).problem == (404, "not_found")
