"""Lists: limits, cursors and filters, and how strictly they are read."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from soms.rpc.gen.soms import v1

LISTS = ("/orders", "/products", "/users", "/users/me/addresses", "/products/TEA/prices", "/products/TEA/movements")
BAD = {
    "/orders": (
        *("limit=0", "limit=-1", "limit=101", "limit=1e9", "limit=abc", "limit=", "limit=1.0", "limit=+1", "limit=%201", "limit=0x1"),
        *("limit=1_0", "limit=٣", "limit=1&limit=2", "limit=99999999999999999999", "sort=password_hash", "user__is_admin=true"),
        *("status=lost", "status=PLACED", "status=", "status=placed&status=paid", "user_id=me", "user_id=", "cursor=", "cursor=x"),
        *("from=yesterday", "from=2026-11-22", "from=2026-11-22T10:00:00", "from=1700000000", "from=2026-13-01T00:00:00Z", "from="),
        *("from=0001-01-01T00:00:00%2B23:59", "to=2026-11-22T10:00:00 00:00".replace(" ", "%20"), "to=2026-11-22T10:00:60Z"),
        *("from=2026-11-23T00:00:00Z&to=2026-11-22T00:00:00Z", "%00=1", "limit=5%00", "=", "Limit=5", "limit[]=5"),
    ),
    "/products": ("q=%00", f"q={'x' * 201}", "in_stock=1", "in_stock=True", "in_stock=", "active=yes", "category=", "price=1", "q=a&q=b"),
    "/users": ("q=%1b", "role=admin", "limit=0"),
    "/users/me": ("x=1",),
    "/products/TEA": ("fields=price",),
}


@pytest.mark.parametrize(("path", "query"), [(path, query) for path, queries in BAD.items() for query in queries])
async def test_bad_queries_are_refused(client: Any, token: Any, services: Any, path: str, query: str) -> None:
    """Unknown, repeated and ill-typed parameters are a 400, and no service is asked."""
    reply = await client("GET", f"{path}?{query}", token=token("staff"))

    assert reply.problem == (400, "invalid_parameter")
    assert services.orders.calls == services.products.calls == services.users.calls == []


async def test_queries_are_refused_where_none_is_known(client: Any, token: Any) -> None:
    """A POST takes no query."""
    reply = await client("POST", "/orders?x=1", token=token(), key="k", json={"lines": [{"sku": "a", "quantity": 1}]})

    assert reply.problem == (400, "invalid_parameter")


@pytest.mark.parametrize("path", LISTS)
async def test_pages_follow_each_other(client: Any, token: Any, services: Any, path: str) -> None:
    """The cursor of a page leads to the next one; limit may change on the way."""
    service = services.orders if path == "/orders" else services.products if path.startswith("/products") else services.users
    first = await client("GET", f"{path}?limit=1", token=token("staff"))
    for answer in service.answers.values():
        if hasattr(answer, "next_page_token"):
            answer.next_page_token = "there"
    more = await client("GET", f"{path}?limit=1", token=token("staff"))
    await client("GET", f"{path}?limit=2&cursor={more.json['next']}", token=token("staff"))

    assert first.json.keys() == {"items", "next"}
    assert first.json["next"] is None
    assert "there" not in more.json["next"]
    assert (service.asked.page_size, service.asked.page_token) == (2, "there")


@pytest.fixture
async def cursor(client: Any, token: Any, services: Any) -> str:
    """A cursor of GET /orders?status=placed, for Ada."""
    services.orders.answers["list_orders"] = v1.ListOrdersResponse(next_page_token="there")
    found: str = (await client("GET", "/orders?status=placed", token=token())).json["next"]
    services.orders.calls.clear()
    return found


async def test_a_cursor_holds_for_its_own_list_alone(client: Any, token: Any, services: Any, cursor: str) -> None:
    """Other filters, another account, another list and any alteration make it void."""
    altered = ("A" if cursor[0] != "A" else "B") + cursor[1:]
    made_up = (altered, cursor + "A", cursor[:-2], "dGhlcmU", "%F0%9F%98%80", "=")
    foreign = token("staff", user_id=uuid4())
    asked = [
        (f"/orders?cursor={cursor}", token()),
        (f"/orders?status=paid&cursor={cursor}", token()),
        (f"/orders?status=placed&cursor={cursor}", foreign),
        (f"/users?cursor={cursor}", foreign),
        (f"/products?cursor={cursor}", token()),
        *((f"/orders?status=placed&cursor={one}", token()) for one in made_up),
    ]
    replies = [(await client("GET", path, token=of)).problem for path, of in asked]

    assert replies == [(400, "invalid_parameter")] * len(asked)
    assert services.orders.calls == []


async def test_filters_reach_the_service(client: Any, token: Any, services: Any) -> None:
    """Status, times in any zone, and one's own id."""
    query = "status=paid&from=2026-11-22T10:00:00.5%2B01:00&to=2026-11-23t00:00:00z&user_id=018F0000-0000-7000-8000-00000000ADA0"
    await client("GET", f"/orders?{query}", token=token())
    asked = services.orders.asked

    assert asked.status == v1.OrderStatus.PAID
    assert asked.from_ == datetime(2026, 11, 22, 9, 0, 0, 500_000, tzinfo=UTC)
    assert asked.to == datetime(2026, 11, 23, tzinfo=UTC)
    assert asked.user_id == "018f0000-0000-7000-8000-00000000ada0"


async def test_only_staff_look_into_other_accounts(client: Any, token: Any) -> None:
    """A customer who filters by somebody else is refused."""
    customer = await client("GET", f"/orders?user_id={uuid4()}", token=token())
    staff = await client("GET", f"/orders?user_id={uuid4()}", token=token("staff"))

    assert customer.problem == (403, "forbidden")
    assert staff.status == 200


async def test_products_are_found_by_words_and_flags(client: Any, services: Any) -> None:
    """What is left out is not filtered by; false is not left out."""
    await client("GET", "/products")
    everything = services.products.asked
    await client("GET", "/products?q=earl%20grey&category=tea&in_stock=true&active=false")
    some = services.products.asked

    assert (everything.query, everything.category, everything.in_stock, everything.active) == ("", None, None, None)
    assert (some.query, some.category, some.in_stock, some.active) == ("earl grey", "tea", True, False)
