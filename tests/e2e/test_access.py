"""Every REST route for every caller on the running stack: who gets what, and that strangers learn nothing."""

import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

PASSWORD = "correct horse battery"
UNKNOWN = "018f0000-0000-7000-8000-000000000001"
CALLERS = ("nobody", "another", "owner", "staff", "admin")
REASONS = {401: "unauthenticated", 403: "forbidden", 404: "not_found"}
ALL, PEOPLE, OWNER, STAFF, ADMIN = (
    "{0} {0} {0} {0} {0}",
    "401 {0} {0} {0} {0}",
    "401 404 {0} {0} {0}",
    "401 403 403 {0} {0}",
    "401 403 403 403 {0}",
)
OWN = "401 404 {0} 404 404"
# what nobody, another customer, the customer whose things they are, staff and an admin are answered
TABLE = {
    "POST /auth/register": ALL.format(201),
    "POST /auth/login": ALL.format(200),
    "POST /auth/refresh": ALL.format(200),
    "POST /auth/logout": ALL.format(204),
    "POST /auth/password-reset": ALL.format(202),
    "POST /auth/password-reset/confirm": ALL.format(401),
    "GET /users/me": PEOPLE.format(200),
    "PATCH /users/me": PEOPLE.format(200),
    "DELETE /users/me": PEOPLE.format(204),
    "GET /users/me/addresses": PEOPLE.format(200),
    "POST /users/me/addresses": PEOPLE.format(201),
    "GET /users/me/addresses/{id}": OWN.format(200),
    "PATCH /users/me/addresses/{id}": OWN.format(200),
    "DELETE /users/me/addresses/{id}": OWN.format(204),
    "GET /users/me/preferences": PEOPLE.format(200),
    "PUT /users/me/preferences": PEOPLE.format(200),
    "GET /users/me/notifications": PEOPLE.format(200),
    "GET /users": STAFF.format(200),
    "GET /users/{id}": STAFF.format(200),
    "PUT /users/{id}/roles": ADMIN.format(200),
    "GET /products": ALL.format(200),
    "POST /products": STAFF.format(201),
    "GET /products/{sku}": ALL.format(200),
    "PATCH /products/{sku}": STAFF.format(200),
    "GET /products/{sku}/prices": ALL.format(200),
    "GET /products/{sku}/stock": STAFF.format(200),
    "POST /products/{sku}/stock": STAFF.format(200),
    "GET /products/{sku}/movements": STAFF.format(200),
    "POST /orders": PEOPLE.format(201),
    "GET /orders": PEOPLE.format(200),
    "GET /orders/{id}": OWNER.format(200),
    "GET /orders/{id}/timeline": OWNER.format(200),
    "POST /orders/{id}/cancel": OWNER.format(200),
    "POST /orders/{id}/pay": OWNER.format(200),
    "POST /orders/{id}/ship": STAFF.format(200),
    "POST /orders/{id}/deliver": STAFF.format(200),
    "POST /orders/{id}/return": STAFF.format(200),
    "POST /orders/entry": STAFF.format(201),
    "POST /orders/import": STAFF.format(200),
    "GET /notifications": STAFF.format(200),
    "POST /notifications/{id}/redeliver": STAFF.format(202),
    "GET /webhooks": STAFF.format(200),
    "POST /webhooks": STAFF.format(201),
    "GET /webhooks/{id}": STAFF.format(200),
    "PATCH /webhooks/{id}": STAFF.format(200),
    "DELETE /webhooks/{id}": STAFF.format(204),
    "POST /webhooks/{id}/rotate-secret": STAFF.format(200),
    "GET /analytics/live": STAFF.format(200),
    "GET /analytics/stream": STAFF.format(200),
    "GET /analytics/summary": STAFF.format(200),
    "GET /analytics/top-products": STAFF.format(200),
    "GET /analytics/overview": STAFF.format(200),
    "GET /analytics/funnel": STAFF.format(200),
    "GET /analytics/cohorts": STAFF.format(200),
    "GET /analytics/top-customers": STAFF.format(200),
    "GET /analytics/findings": STAFF.format(200),
}
OPERATIONS = {f"GET {path}" for path in ("/healthz", "/readyz", "/metrics", "/.well-known/jwks.json")}
LED_ON = {"ship": ["pay"], "deliver": ["pay", "ship"], "return": ["pay", "ship", "deliver"]}
numbers = itertools.count(time.time_ns())


class World:
    """Five callers, and what the owner among them has: an address, and an order of a product."""

    def __init__(self, stack: Any, document: Any) -> None:
        self.stack, self.document = stack, document
        self.callers: dict[str, Any] = {}
        self.sku = f"ACCESS-{next(numbers)}"

    async def populate(self) -> None:
        """Make accounts and a product."""
        roles = dict(zip(CALLERS, ("", "customer", "customer", "staff", "admin"), strict=True))
        for caller, role in roles.items():
            self.callers[caller] = await self.stack.client(f"{caller}-{next(numbers)}@example.org" if role else "", role)
        product = {"sku": self.sku, "name": "Anything", "price": 1, "currency": "GBP", "on_hand": 1000}
        assert (await self.callers["staff"]("POST", "products", product)).status == 201

    async def path(self, path: str) -> str:
        """The path with something of the owner's in it, made for this request and led on so far that the request makes sense."""
        owner, staff = self.callers["owner"], self.callers["staff"]
        if path.startswith("/users/me/addresses/{id}"):
            address = await owner("POST", "users/me/addresses", self.example("POST /users/me/addresses"))
            return path.format(id=address.body["id"])
        if path.startswith("/users/{id}"):
            return path.format(id=(await owner("GET", "users/me")).body["id"])
        if path.startswith("/orders/{id}"):
            order = (await owner("POST", "orders", self.order(), Idempotency_Key=str(next(numbers)))).body
            for step in LED_ON.get(path.rpartition("/")[2], []):
                await staff("POST", f"orders/{order['id']}/{step}")
            return path.format(id=order["id"])
        if path.startswith("/notifications/{id}"):
            return path.format(id=await self.stack.until(self.notification))
        if path.startswith("/webhooks/{id}"):
            return path.format(id=(await staff("POST", "webhooks", self.webhook())).body["id"])
        return path.format(sku=self.sku)

    async def notification(self) -> Any:
        """The id of something that was sent, once there is one."""
        answer = await self.callers["staff"]("GET", "notifications?status=sent&limit=1")
        return next((item["id"] for item in answer.body["items"]), None)

    def bodies(self) -> Any:
        """Bodies by route, where the document's own would not do."""
        return {
            "POST /orders": self.order(),
            "POST /orders/entry": self.order() | {"email": "guest@example.org"},
            "POST /orders/{id}/return": None,
            "POST /webhooks": self.webhook(),
            "PATCH /webhooks/{id}": {"active": False},
        }

    def webhook(self) -> Any:
        """The body of a webhook that no other has."""
        return {"url": f"https://hook-{next(numbers)}.invalid/", "event_types": ["soms.user.anonymised.v1"]}

    def order(self) -> Any:
        """The body of an order."""
        return {"lines": [{"sku": self.sku, "quantity": 1}]}

    def example(self, route: str) -> Any:
        """The body that the OpenAPI document shows; None where a route takes none."""
        method, path = route.split(" ")
        content = self.document["paths"][f"/api/v1{path}"][method.lower()].get("requestBody", {}).get("content", {})
        if not content:
            return None
        (body,) = content.values()
        schema = self.document["components"]["schemas"][body["schema"]["$ref"].rpartition("/")[2]]
        return schema.get("examples", [{}])[0]

    async def body(self, route: str) -> Any:
        """A body that is good for this one request."""
        nobody, known = self.callers["nobody"], {"email": f"known-{self.sku}@example.org", "password": PASSWORD}
        match route:
            case "POST /auth/register":
                return known | {"email": f"new-{next(numbers)}@example.org", "name": "New"}
            case "POST /auth/login" | "POST /auth/refresh":
                await nobody("POST", "auth/register", known | {"name": "Known"})
                login = await nobody("POST", "auth/login", known)
                return known if route.endswith("login") else {"refresh_token": login.body["refresh_token"]}
            case "POST /products":
                return self.example(route) | {"sku": f"ACCESS-{next(numbers)}"}
        return self.bodies().get(route, self.example(route))


@pytest.fixture(scope="module")
async def document(stack: Any) -> Any:
    """The OpenAPI document."""
    return (await (await stack.client())("GET", "/openapi.json")).body


@pytest.fixture
async def world(stack: Any, document: Any) -> AsyncIterator[World]:
    """A world of its own."""
    world = World(stack, document)
    await world.populate()
    yield world
    await stack.rows("delete from notifications.webhook")


def test_every_route_is_in_the_table(document: Any) -> None:
    """A route that nobody thought about here fails."""
    routes = {f"{method.upper()} {path.removeprefix('/api/v1')}" for path, item in document["paths"].items() for method in item}

    assert routes - OPERATIONS == set(TABLE)
    assert routes >= OPERATIONS


@pytest.mark.parametrize("route", TABLE)
async def test_every_route_for_every_caller(world: World, route: str) -> None:
    """Each caller is answered what the table says; refusals name their reason and how to come back."""
    method, path = route.split(" ")
    expected = dict(zip(CALLERS, map(int, TABLE[route].split()), strict=True))
    for caller, status in expected.items():
        where, body = (await world.path(path)).lstrip("/"), await world.body(route)
        headers = {"Idempotency_Key": str(next(numbers))} | ({"Content_Type": "application/x-ndjson"} if path == "/orders/import" else {})
        answer = await world.callers[caller](method, where, body, **headers)

        assert answer.status == status, (caller, answer)
        if status in REASONS and not path.startswith("/auth/"):
            assert answer.body["reason"] == REASONS[status]
            assert (answer.headers.get("WWW-Authenticate") == "Bearer") == (status == 401)


@pytest.mark.parametrize("route", [route for route, answers in TABLE.items() if answers.startswith("401 404")])
async def test_foreign_is_like_unknown(world: World, route: str) -> None:
    """Another's object and one that is not there are answered alike, to the byte."""
    method, path = route.split(" ")
    body, seen = await world.body(route), []
    for where in (await world.path(path), path.format(id=UNKNOWN)):
        answer = await world.callers["another"](method, where.lstrip("/"), body, X_Request_Id="same")
        headers = {name: value for name, value in answer.headers.items() if name != "Date"}
        seen.append((answer.status, answer.body, headers))

    assert seen[0] == seen[1]
    assert seen[0][0] == 404


async def test_whose_orders_may_be_listed(world: World) -> None:
    """A customer who asks for another's orders is told no, for their own gets them; staff get both."""
    another, owner, staff = (world.callers[name] for name in ("another", "owner", "staff"))
    await owner("POST", "orders", world.order(), Idempotency_Key="mine")
    owner_id = (await owner("GET", "users/me")).body["id"]
    answers = [await who("GET", f"orders?user_id={owner_id}") for who in (another, owner, staff)]

    assert [answer.status for answer in answers] == [403, 200, 200]
    assert answers[0].body["reason"] == "forbidden"
    assert [len(answer.body["items"]) for answer in answers[1:]] == [1, 1]
    assert (await another("GET", "orders")).body["items"] == []
