"""Versions: ETag on single objects, If-Match on changes, If-None-Match on reads."""

from typing import Any

import pytest

from soms.errors import Aborted
from soms.web.app import ROUTES
from soms.web.conditions import NO_VERSION
from soms.web.routes import Route

ID = "018f0000-0000-7000-8000-000000000001"
TAGGED = {
    "/users/me": '"3"',
    f"/users/{ID}": '"3"',
    f"/users/me/addresses/{ID}": '"2"',
    "/users/me/preferences": '"4"',
    "/products/TEA": '"5"',
    f"/orders/{ID}": '"1"',
}


def named(route: Route) -> str:
    """The route as people write it."""
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("path", TAGGED)
async def test_single_objects_have_a_tag(client: Any, token: Any, path: str) -> None:
    """The tag is the version; a client that has it gets no body."""
    reply = await client("GET", path, token=token("staff"))
    again = await client("GET", path, token=token("staff"), headers={"If-None-Match": reply.headers["ETag"]})
    other = await client("GET", path, token=token("staff"), headers={"If-None-Match": '"99"'})

    assert reply.headers["ETag"] == TAGGED[path]
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", TAGGED[path])
    assert other.status == 200


@pytest.mark.parametrize("sent", ["*", 'W/"5"', '"1", "5"', '"1",W/"5"'])
async def test_any_of_the_tags_will_do(client: Any, sent: str) -> None:
    """If-None-Match compares weakly, with a list or with anything."""
    assert (await client("GET", "/products/TEA", headers={"If-None-Match": sent})).status == 304


async def test_lists_have_no_tag(client: Any) -> None:
    """A list has no version."""
    assert "ETag" not in (await client("GET", "/products", headers={"If-None-Match": "*"})).headers


@pytest.mark.parametrize("route", [route for route in ROUTES if route.conditional], ids=named)
async def test_every_change_of_one_object_heeds_if_match(client: Any, token: Any, services: Any, agents: Any, route: Route) -> None:
    """The version goes to the service or the agent; the refusal comes back as 412."""
    schema = route.adapter.json_schema() if route.adapter else {}
    body = {"json": schema.get("examples", [{}])[0]} if route.adapter else {}
    path = route.path.format(id=ID, sku="TEA")
    headers = {"If-Match": '"8"'}
    await client(route.method, path, token=token("admin"), headers=headers, **body)
    asked = [call[1] for service in vars(services).values() for call in service.calls if call[0] != "claim_key"]
    versions = [getattr(one, "change", one).if_version for one in asked] + [query["if_version"] for *_, query in agents.calls]
    for service in (*vars(services).values(), agents):
        service.answers = dict.fromkeys(service.answers, Aborted("it is at version 9"))
    reply = await client(route.method, path, token=token("admin"), headers=headers, **body)

    assert versions[-1] == 8
    assert reply.problem == (412, "stale_version")


@pytest.mark.parametrize(
    ("sent", "version"),
    [
        ('"1"', 1),
        ("*", None),
        (None, None),
        ('W/"1"', NO_VERSION),
        ('"abc"', NO_VERSION),
        ('"0"', NO_VERSION),
        ('"01"', NO_VERSION),
        ('""', NO_VERSION),
    ],
)
async def test_tags_of_if_match(client: Any, token: Any, services: Any, sent: str | None, version: int | None) -> None:
    """A tag that we never gave out stands for no version there is."""
    await client("POST", f"/orders/{ID}/pay", token=token(), headers={"If-Match": sent} if sent else {})

    assert services.orders.asked.change.if_version == version


@pytest.mark.parametrize("sent", ["1", "", '"1', '1"', '"1", "2"', "**", '"a"b"'])
async def test_malformed_tags_are_refused(client: Any, token: Any, sent: str) -> None:
    """What is no entity tag is a bad header."""
    reply = await client("POST", f"/orders/{ID}/pay", token=token(), headers={"If-Match": sent})

    assert reply.problem == (400, "invalid_parameter")
