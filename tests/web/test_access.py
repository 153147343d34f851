"""Who may do what: every route for every role, and what a token must look like."""

import re
from typing import Any
from uuid import UUID

import pytest

from soms.errors import NotFound
from soms.web.app import ROUTES
from soms.web.auth import Access
from soms.web.routes import Route

ID = "018f0000-0000-7000-8000-000000000001"
ROLES = {Access.CUSTOMER: (), Access.STAFF: ("staff",), Access.ADMIN: ("admin",)}
PROTECTED = [route for route in ROUTES if route.access >= Access.CUSTOMER]
OPEN = [route for route in ROUTES if route.access < Access.CUSTOMER]
MUTATIONS = {
    "empty": "",
    "not signed": "x",
    "two parts": "a.b",
    "signature cut off": lambda token: token.rpartition(".")[0] + ".",
    "signature altered": lambda token: token[:-3] + ("A" if token[-3] != "A" else "B") + token[-2:],
    "claims altered": lambda token: token.replace(".ey", ".eX", 1),
    "longer": lambda token: token + "A",
    "padded": lambda token: token + "=",
    "followed by a word": lambda token: token + " x",
    "doubled": lambda token: token + "," + token,
    "huge": "a" * 12_000,
}


def named(route: Route) -> str:
    """The route as people write it."""
    return f"{route.method} {route.path}"


def path(route: Route) -> str:
    """A path of the route."""
    return route.path.format(id=ID, sku="TEA")


def body(route: Route) -> dict[str, Any]:
    """A body that passes, from the route's own example."""
    if route.adapter is None or route.takes_query:
        return {}
    examples = route.adapter.json_schema(ref_template="{model}").get("examples", [{}])
    return {"json": examples[0]} | ({"headers": {"Content-Type": "application/x-ndjson"}} if route.lines else {})


def tokens(token: str, mutation: Any) -> str:
    """The token, altered."""
    return mutation(token) if callable(mutation) else mutation


MATRIX = [pytest.param(route, role, id=f"{named(route)} as {role.name}") for route in ROUTES for role in ROLES]


@pytest.mark.parametrize(("route", "role"), MATRIX)
async def test_roles(client: Any, token: Any, route: Route, role: Access) -> None:
    """A role may do what it and those below it may, and is told of the rest."""
    reply = await client(route.method, path(route), token=token(*ROLES[role]), key="k", **body(route))

    if role >= route.access:
        assert reply.status == route.status
    else:
        assert reply.problem == (403, "forbidden")


@pytest.mark.parametrize("route", PROTECTED, ids=named)
async def test_strangers_are_asked_who_they_are(client: Any, route: Route) -> None:
    """Without a token nothing but 401, and it says how to come back."""
    reply = await client(route.method, path(route), key="k", **body(route))

    assert reply.problem == (401, "unauthenticated")
    assert reply.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("route", OPEN, ids=named)
async def test_open_routes_need_no_token(client: Any, route: Route) -> None:
    """What anybody may do needs no token."""
    reply = await client(route.method, path(route), **body(route))

    assert reply.status == route.status


@pytest.mark.parametrize("route", [route for route in ROUTES if route.access >= Access.ANYONE], ids=named)
async def test_altered_tokens_never_reach_a_service(client: Any, token: Any, services: Any, route: Route) -> None:
    """A token that does not hold is a 401 on every route that looks at tokens, and no service is asked."""
    replies = {}
    for name, mutation in MUTATIONS.items():
        sent = body(route)
        sent["headers"] = sent.get("headers", {}) | {"Authorization": f"Bearer {tokens(token('admin'), mutation)}"}
        replies[name] = (await client(route.method, path(route), key="k", **sent)).problem

    assert replies == dict.fromkeys(MUTATIONS, (401, "unauthenticated"))
    assert services.users.calls == services.products.calls == services.orders.calls == []


async def test_refusals_of_tokens_are_all_alike(client: Any, token: Any) -> None:
    """Nobody learns what is wrong with a token: the bodies differ in the request id alone."""
    bodies = set()
    for mutation in MUTATIONS.values():
        headers = {"Authorization": f"Bearer {tokens(token(), mutation)}", "X-Request-Id": "same"}
        bodies.add((await client("GET", "/orders", headers=headers)).body)
    bodies.add((await client("GET", "/orders", headers={"X-Request-Id": "same"})).body)

    assert len(bodies) == 1


@pytest.mark.parametrize("scheme", ["Basic ", "Token ", "Bearer", "Bearer  ", ""])
async def test_only_bearer_tokens_count(client: Any, token: Any, scheme: str) -> None:
    """Another scheme, or none, is no token."""
    reply = await client("GET", "/orders", headers={"Authorization": scheme + token()})

    assert reply.problem == (401, "unauthenticated")


async def test_the_scheme_has_no_case(client: Any, token: Any) -> None:
    """`bearer` is `Bearer` (RFC 9110 §11.1)."""
    assert (await client("GET", "/orders", headers={"Authorization": f"bEARER {token()}"})).status == 200


async def test_two_authorizations_are_none(raw: Any, token: Any, services: Any) -> None:
    """With two headers nobody knows which counts, even if they are equal."""
    mine = f"Authorization: Bearer {token()}"
    other = f"authorization: bearer {token('admin')}"
    answers = [await raw("GET /api/v1/orders", mine, second) for second in (other, mine)]

    assert [answer.partition(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 401 Unauthorized"] * 2
    assert services.orders.calls == []


async def test_a_token_in_the_query_does_not_count(client: Any, token: Any) -> None:
    """Queries end up in logs: tokens are not looked for there."""
    assert (await client("GET", f"/orders?access_token={token()}")).problem == (401, "unauthenticated")


async def test_a_stale_token_does_not_hinder_signing_in(client: Any, token: Any) -> None:
    """A client that sends its expired token along can still get a fresh one."""
    reply = await client("POST", "/auth/refresh", token=token() + "x", json={"refresh_token": "r"})

    assert reply.status == 200


async def test_the_services_hear_who_calls(client: Any, token: Any, services: Any) -> None:
    """The caller's own token, identity, request id and address go with every call, and so does a deadline."""
    mine = token("staff")
    await client("GET", f"/orders/{ID}", token=mine, headers={"X-Request-Id": "r-1", "X-Forwarded-For": "203.0.113.9"})
    under_way = services.orders.calls[0][2]

    assert under_way.token == mine
    assert under_way.identity.user_id == UUID("018f0000-0000-7000-8000-00000000ada0")
    assert under_way.request_id == "r-1"
    assert under_way.client_address == "127.0.0.1"


@pytest.mark.parametrize("sent", ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0-0-01", "", "x" * 2000])
async def test_a_trace_goes_on_or_begins(client: Any, services: Any, sent: str) -> None:
    """The caller's traceparent is passed on if it is one; otherwise a trace begins here."""
    await client("GET", "/products", headers={"traceparent": sent})
    found = services.products.calls[0][2].traceparent

    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", found)
    assert (found == sent) == (len(sent) == 55)


ODD = ["nonsense", "1", "018f", ID.replace("-", ""), "%00", "%2e%2e", "..", "%2F", "a%2Fb", "%ff", "x" * 300, "%252e"]


@pytest.mark.parametrize("other", ODD)
async def test_what_is_no_id_is_like_unknown(client: Any, token: Any, services: Any, other: str) -> None:
    """An order nobody knows, somebody else's, and a name that none could have: the bodies are equal to the byte."""
    services.orders.answers["get_order"] = NotFound("order 17 belongs to somebody else", owner="x")
    same = {"X-Request-Id": "same"}
    foreign = await client("GET", f"/orders/{ID}", token=token(), headers=same)
    unknown = await client("GET", f"/orders/{other}", token=token(), headers=same)

    assert foreign.problem == (404, "not_found")
    assert (unknown.status, unknown.body) == (foreign.status, foreign.body)
    assert b"17" not in foreign.body


@pytest.mark.parametrize("sku", ["%00", "..", "%2e%2e", ".", "%20x", "x%20", "a%2Fb", "%C3%A4", "x" * 65, "%0a", "%7f"])
async def test_what_is_no_sku_is_unknown(client: Any, services: Any, sku: str) -> None:
    """A SKU that could not be one is not looked for."""
    assert (await client("GET", f"/products/{sku}")).problem == (404, "not_found")
    assert services.products.calls == []


@pytest.mark.parametrize(
    ("sent", "sku"), [("50%25", "50%"), ("a%7Bb%7D", "a{b}"), ("a%3Fb", "a?b"), ("a%20b", "a b"), ("%23", "#"), ("a+b", "a+b"), ("~", "~")]
)
async def test_every_sku_has_a_path(client: Any, services: Any, sent: str, sku: str) -> None:
    """All that a SKU may contain can stand in a path."""
    assert (await client("GET", f"/products/{sent}")).status == 200
    assert services.products.asked.sku == sku
