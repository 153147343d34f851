"""The live OpenAPI document: whole, valid, and held against what the gateway answers to thousands of requests made from it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

# for long runs by hand: examples for each operation and phase, from a new seed each time
EXAMPLES = os.environ.get("SOMS_FUZZ_EXAMPLES")
SIZE = ("--max-examples", EXAMPLES) if EXAMPLES else ("--max-examples", "5", "--seed", "7")
LIMIT_SECONDS = 7200 if EXAMPLES else 300
# a stream has no end to wait for
ENDLESS = ("--exclude-operation-id", "stream_live")
ALWAYS = {"invalid_parameter", "rate_limited", "unavailable", "internal", "uri_too_long", "headers_too_large"}
WITH_BODY = {"malformed_body", "validation_failed", "too_large", "timeout", "unsupported_media_type"}
WITH_KEY = {"idempotency_key_invalid", "idempotency_mismatch", "in_flight"}
CHANGE = "unauthenticated not_found stale_version invalid_transition"
# of each route the reasons that the contract names for it, beyond those that all have, or all with a body or a key
ROUTES = {
    "POST /auth/register": "email_taken",
    "POST /auth/login": "invalid_credentials",
    "POST /auth/refresh": "invalid_token",
    "POST /auth/logout": "",
    "POST /auth/password-reset": "",
    "POST /auth/password-reset/confirm": "invalid_token",
    "GET /users/me": "unauthenticated",
    "PATCH /users/me": "unauthenticated stale_version",
    "DELETE /users/me": "unauthenticated stale_version",
    "GET /users/me/addresses": "unauthenticated",
    "POST /users/me/addresses": "unauthenticated",
    "GET /users/me/addresses/{id}": "unauthenticated not_found",
    "PATCH /users/me/addresses/{id}": "unauthenticated not_found stale_version",
    "DELETE /users/me/addresses/{id}": "unauthenticated not_found stale_version",
    "GET /users/me/preferences": "unauthenticated",
    "PUT /users/me/preferences": "unauthenticated stale_version",
    "GET /users": "unauthenticated forbidden",
    "GET /users/{id}": "unauthenticated forbidden not_found",
    "PUT /users/{id}/roles": "unauthenticated forbidden not_found stale_version",
    "GET /products": "unauthenticated",
    "POST /products": "unauthenticated forbidden sku_taken",
    "GET /products/{sku}": "unauthenticated not_found",
    "PATCH /products/{sku}": "unauthenticated forbidden not_found stale_version",
    "GET /products/{sku}/prices": "unauthenticated not_found",
    "GET /products/{sku}/stock": "unauthenticated forbidden not_found",
    "POST /products/{sku}/stock": "unauthenticated forbidden not_found insufficient_stock",
    "GET /products/{sku}/movements": "unauthenticated forbidden not_found",
    "POST /orders": "unauthenticated insufficient_stock product_inactive unknown_sku idempotency_key_required",
    "GET /orders": "unauthenticated forbidden",
    "GET /orders/{id}": "unauthenticated not_found",
    "GET /orders/{id}/timeline": "unauthenticated not_found",
    "POST /orders/{id}/cancel": CHANGE,
    "POST /orders/{id}/pay": CHANGE,
    "POST /orders/{id}/ship": f"{CHANGE} forbidden",
    "POST /orders/{id}/deliver": f"{CHANGE} forbidden",
    "POST /orders/{id}/return": f"{CHANGE} forbidden over_return",
    "POST /orders/entry": "unauthenticated forbidden insufficient_stock product_inactive unknown_sku unknown_user",
    "POST /orders/import": "unauthenticated forbidden",
    "GET /users/me/notifications": "unauthenticated",
    "GET /notifications": "unauthenticated forbidden",
    "POST /notifications/{id}/redeliver": "unauthenticated forbidden not_found failed_precondition",
    "GET /webhooks": "unauthenticated forbidden",
    "POST /webhooks": "unauthenticated forbidden url_taken",
    "GET /webhooks/{id}": "unauthenticated forbidden not_found",
    "PATCH /webhooks/{id}": "unauthenticated forbidden not_found url_taken stale_version",
    "DELETE /webhooks/{id}": "unauthenticated forbidden not_found stale_version",
    "POST /webhooks/{id}/rotate-secret": "unauthenticated forbidden not_found stale_version",
    "GET /analytics/live": "unauthenticated forbidden",
    "GET /analytics/stream": "unauthenticated forbidden",
    "GET /analytics/summary": "unauthenticated forbidden",
    "GET /analytics/top-products": "unauthenticated forbidden",
    "GET /analytics/overview": "unauthenticated forbidden",
    "GET /analytics/funnel": "unauthenticated forbidden",
    "GET /analytics/cohorts": "unauthenticated forbidden",
    "GET /analytics/top-customers": "unauthenticated forbidden",
    "GET /analytics/findings": "unauthenticated forbidden",
}


@pytest.fixture
async def admin(stack: Any) -> Any:
    """Somebody who may do all."""
    return await stack.client("openapi-reader@example.org", "admin")


@pytest.fixture
async def document(admin: Any) -> Any:
    """The document."""
    return (await admin("GET", "/openapi.json")).body


def test_document_is_valid(document: Any) -> None:
    """It is OpenAPI 3.1 by the schema of the OpenAPI Initiative."""
    assert document["openapi"].startswith("3.1.")
    assert [error.message for error in OPENAPI_31_VALIDATOR.iter_errors(document)] == []


@pytest.mark.parametrize("route", ROUTES)
def test_route_is_described_with_its_problems(document: Any, route: str) -> None:
    """Each route of the contract is there, and so is every reason for which it may refuse."""
    method, path = route.split(" ")
    operation = document["paths"][f"/api/v1{path}"][method.lower()]
    answers = [answer["$ref"].rpartition("/")[2] for answer in operation["responses"].values() if "$ref" in answer]
    problems = [document["components"]["responses"][name]["content"]["application/problem+json"]["schema"] for name in answers]
    told = {reason for problem in problems for reason in problem["allOf"][1]["properties"]["reason"]["enum"]}
    keyed = any(parameter["name"] == "Idempotency-Key" for parameter in operation["parameters"])

    assert told >= ALWAYS | set(ROUTES[route].split()) | (WITH_BODY if "requestBody" in operation else set()) | (
        WITH_KEY if keyed else set()
    )
    assert (
        keyed == (path in {"/products", "/orders", "/orders/entry", "/products/{sku}/stock"} or path.startswith("/orders/{id}/"))
        or method == "GET"
    )


async def everything(client: Any, path: str) -> list[Any]:
    """All items of a list."""
    items, cursor = [], ""
    while cursor is not None:
        page = (await client("GET", f"{path}?limit=100{cursor and f'&cursor={cursor}'}")).body
        items, cursor = items + page["items"], page["next"]
    return items


@pytest.fixture
async def restored(stack: Any, admin: Any) -> AsyncIterator[None]:
    """Afterwards goods, stock and roles are as they were before, nobody is locked out, and no webhook is left."""
    goods, people = await everything(admin, "products"), await everything(admin, "users")
    yield
    await stack.rows("delete from users.failed_logins")
    await stack.rows("delete from notifications.webhook")
    for product in goods:
        sku, members = quote(product["sku"], safe=""), ("name", "description", "category", "price", "currency", "active")
        await admin("PATCH", f"products/{sku}", {name: product[name] for name in members})
        missing = product["available"] - (await admin("GET", f"products/{sku}/stock")).body["available"]
        if missing:
            await admin("POST", f"products/{sku}/stock", {"delta": missing, "reason": "as before"})
    for person in people:
        await admin("PUT", f"users/{person['id']}/roles", {"roles": person["roles"]})


@pytest.mark.timeout(LIMIT_SECONDS + 60)
@pytest.mark.parametrize(
    ("role", "options"),
    [
        ("admin", ("--exclude-operation-id", "delete_me", *ENDLESS)),
        ("customer", ("--phases", "fuzzing,stateful", *ENDLESS)),
    ],
)
async def test_answers_are_as_described(stack: Any, restored: None, tmp_path: Path, role: str, options: tuple[str, ...]) -> None:
    """To whatever is sent there is no fault, nothing beyond the document, nothing taken against it or refused for a form it allows."""
    command = (
        *("--config-file", str(Path(__file__).with_name("schemathesis.toml"))),
        *("run", f"{stack.url}/openapi.json", *SIZE, *options, "--checks", "all", "--exclude-checks", "positive_data_acceptance"),
        *("--no-color", "--generation-database", "none", "--generation-allow-x00", "false", "--output-truncate", "false"),
    )
    account = {"SOMS_FUZZ_EMAIL": f"openapi-{role}@example.org", "SOMS_FUZZ_ROLE": role}
    hooks = {"SCHEMATHESIS_HOOKS": "fuzzing", "PYTHONPATH": str(Path(__file__).parent)}
    report = tmp_path / "report"
    with report.open("wb") as output:
        run = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "schemathesis.cli", *command),
            cwd=tmp_path,
            env={**os.environ, **stack.environment, **account, **hooks},
            stdout=output,
            stderr=output,
        )
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                await run.wait()
        finally:
            if run.returncode is None:
                run.kill()

    assert run.returncode == 0, report.read_text()
