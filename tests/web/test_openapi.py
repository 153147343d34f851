"""The OpenAPI document: valid, whole, and true to what the gateway does."""

import re
from typing import Any

import jsonschema_rs
import pytest

from soms.web import openapi
from soms.web.app import ROUTES
from soms.web.auth import Access
from soms.web.problems import REASONS
from soms.web.routes import PREFIX, Route

DOCUMENT = openapi.document(ROUTES)
SCHEMAS = DOCUMENT["components"]["schemas"]
ID = "018f0000-0000-7000-8000-000000000001"


def named(route: Route) -> str:
    """The route as people write it."""
    return f"{route.method} {route.path}"


def operation(route: Route) -> Any:
    """The route in the document."""
    return DOCUMENT["paths"][PREFIX + route.path][route.method.lower()]


def references(value: Any) -> set[str]:
    """All `$ref` of a value."""
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_every_reference_leads_somewhere() -> None:
    """No `$ref` is dead, and no schema has another place for its definitions."""
    for reference in references(DOCUMENT):
        found: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            found = found[step]

    assert "$defs" not in str(DOCUMENT)
    assert DOCUMENT["openapi"] == "3.1.0"


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas_are_json_schemas(name: str) -> None:
    """Each is one of draft 2020-12, and each example in it is valid."""
    assert re.fullmatch(r"[A-Za-z0-9._-]+", name)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "components": {"schemas": SCHEMAS}} | SCHEMAS[name]
    validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)

    assert [error.message for example in schema.get("examples", []) for error in validator.iter_errors(example)] == []


def test_operations_have_names_of_their_own() -> None:
    """No operationId twice."""
    names = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]

    assert len(names) == len(set(names))


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_every_route_is_described(route: Route) -> None:
    """Parameters, security and every answer it may give."""
    described = operation(route)
    parameters = {(parameter["in"], parameter["name"]) for parameter in described["parameters"]}
    statuses = set(described["responses"])

    assert {name for place, name in parameters if place == "path"} == set(re.findall(r"{(\w+)}", route.path))
    assert (("header", "Idempotency-Key") in parameters) == (route.key is not None)
    assert (("header", "If-Match") in parameters) == route.conditional == ("412" in statuses)
    assert described["summary"]
    assert statuses >= {str(route.status), "400", "414", "429", "431", "500", "503"}
    assert ("401" in statuses) == (route.access >= Access.ANYONE) or route.reasons
    assert ("403" in statuses) == (route.access >= Access.STAFF) or route.path == "/orders"
    assert ("requestBody" in described) == ("413" in statuses) == ("422" in statuses)


def test_all_reasons_of_the_contract_are_known() -> None:
    """The stable words, each with its status."""
    words = {
        400: "malformed_body invalid_parameter idempotency_key_required idempotency_key_invalid",
        401: "unauthenticated invalid_credentials invalid_token",
        403: "forbidden",
        404: "not_found",
        405: "method_not_allowed",
        408: "timeout",
        409: "insufficient_stock product_inactive invalid_transition over_return email_taken sku_taken in_flight",
        412: "stale_version",
        413: "too_large",
        414: "uri_too_long",
        415: "unsupported_media_type",
        422: "validation_failed unknown_sku unknown_user idempotency_mismatch",
        429: "rate_limited",
        431: "headers_too_large",
        503: "unavailable",
    }

    assert {word: REASONS[word].status for line in words.values() for word in line.split()} == {
        word: status for status, line in words.items() for word in line.split()
    }


@pytest.mark.parametrize("route", [route for route in ROUTES if route.types[1] and not route.streams and not route.lines], ids=named)
async def test_answers_are_as_described(client: Any, token: Any, route: Route) -> None:
    """What the gateway answers fits the schema it shows, with no member beyond it."""
    content = operation(route).get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    body = {"json": SCHEMAS[content["$ref"].rpartition("/")[2]].get("examples", [{}])[0]} if content else {}
    reply = await client(route.method, route.path.format(id=ID, sku="TEA"), token=token("admin"), key="k", **body)
    response = operation(route)["responses"][str(route.status)]
    schema = response["content"]["application/json"]["schema"]
    name = schema["$ref"].rpartition("/")[2]

    assert reply.status == route.status
    jsonschema_rs.Draft202012Validator(schema | {"components": {"schemas": SCHEMAS}}, validate_formats=True).validate(reply.json)
    assert reply.json.keys() == SCHEMAS[name]["properties"].keys()
    assert all(header in reply.headers for header in ("ETag", "Location") if header in response["headers"])


async def test_problems_are_as_described(client: Any, token: Any) -> None:
    """A refusal fits the schema of problems."""
    reply = await client("POST", "/orders", token=token(), key="k", json={"lines": []})

    jsonschema_rs.Draft202012Validator(SCHEMAS["Problem"]).validate(reply.json)
