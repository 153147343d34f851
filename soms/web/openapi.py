"""The OpenAPI 3.1 document, made of the routes and of the very types that check requests. `openapi_parts` has what routes share."""

from collections.abc import Iterable
from importlib.metadata import version
from itertools import groupby
from string import Formatter
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from soms.web import ndjson
from soms.web import openapi_parts as parts
from soms.web.auth import Access
from soms.web.problems import REASONS
from soms.web.routes import PREFIX, Route

Json = dict[str, Any]
REF: Final = "#/components/schemas/{model}"
SECURITY: Final[dict[Access, list[Json]]] = {Access.SIGNING_IN: [], Access.ANYONE: [{}, {"bearer": []}]}
INTRODUCTION: Final = (
    "Places orders, keeps stock and accounts. Money is an integer in minor units, times are RFC 3339 in UTC, lists come in pages. "
    "Errors are problem documents (RFC 9457) with a stable `reason`; repeat a POST with the same Idempotency-Key and nothing happens twice."
)


class Untitled(GenerateJsonSchema):
    """JSON schemas without a title for each field that repeats its name."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never."""
        return False


def document(routes: Iterable[Route]) -> Json:
    """The whole description."""
    known = tuple(routes)
    schemas, definitions = _schemas(known)
    paths: Json = {}
    for route in known:
        paths.setdefault(PREFIX + route.path, {})[route.method.lower()] = _operation(route, schemas)
    responses = {_problem_name(status, reasons): parts.problem(status, reasons) for route in known for status, reasons in _problems(route)}
    return {
        "openapi": "3.1.0",
        "info": {"title": "SOMS", "version": version("soms"), "description": INTRODUCTION, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "paths": paths | parts.OPERATIONS,
        "components": {
            "schemas": definitions | {"Problem": parts.PROBLEM},
            "responses": responses,
            "headers": parts.HEADERS,
            "securitySchemes": parts.SECURITY_SCHEMES,
        },
    }


def _schemas(routes: Iterable[Route]) -> tuple[dict[tuple[str, str], Json], Json]:
    """The schema of each body and answer, by operation and mode, and the definitions they refer to."""
    wanted: list[tuple[str, JsonSchemaMode, TypeAdapter[Any]]] = []
    for route in routes:
        if route.adapter and not route.takes_query:
            wanted.append((route.name, "validation", route.adapter))
        if route.types[1] and not route.streams and not route.lines:
            wanted.append((route.name, "serialization", TypeAdapter(route.types[1])))
    found, definitions = TypeAdapter.json_schemas(wanted, ref_template=REF, schema_generator=Untitled)
    return {(str(name), mode): schema for (name, mode), schema in found.items()}, definitions["$defs"]


def _operation(route: Route, schemas: dict[tuple[str, str], Json]) -> Json:
    text = (route.handler.__doc__ or "").strip()
    role = f" Takes the role {route.access.name.lower()}." if route.access >= Access.CUSTOMER else ""
    operation: Json = {
        "operationId": route.name,
        "tags": [route.path.split("/")[1]],
        "summary": text.partition(";")[0].partition(":")[0].rstrip("."),
        "description": text + role,
        "security": SECURITY.get(route.access, [{"bearer": []}, *([{"dashboard": []}] if route.cookie else [])]),
        "parameters": [*_path_parameters(route), *_query_parameters(route), *parts.header_parameters(route)],
        "responses": _responses(route, schemas.get((route.name, "serialization"))),
    }
    if body := schemas.get((route.name, "validation")):
        operation["requestBody"] = {"required": not route.input_optional, "content": {_media_type(route): {"schema": body}}}
    return operation


def _media_type(route: Route) -> str:
    """Of lines the schema is that of each."""
    return ndjson.MEDIA_TYPE if route.lines else "application/json"


def _path_parameters(route: Route) -> list[Json]:
    names = [name for _, name, _, _ in Formatter().parse(route.path) if name]
    return [{"name": name, "in": "path", "required": True, "schema": parts.PATH_SCHEMAS[name]} for name in names]


def _query_parameters(route: Route) -> list[Json]:
    if not route.takes_query or not route.adapter:
        return []
    properties = route.adapter.json_schema(schema_generator=Untitled)["properties"]
    return [{"name": name, "in": "query", "schema": schema} for name, schema in sorted(properties.items())]


def _responses(route: Route, answer: Json | None) -> Json:
    good: Json = {"description": "Done", "headers": parts.answer_headers(route)}
    if route.streams:
        good["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    elif route.lines:
        good["content"] = {_media_type(route): {}}
    elif answer:
        good["content"] = {"application/json": {"schema": answer}}
    found = {str(route.status): good}
    if route.tagged and route.method == "GET":
        found["304"] = {"description": "Unchanged since the version in If-None-Match", "headers": good["headers"]}
    refused = {str(status): {"$ref": f"#/components/responses/{_problem_name(status, reasons)}"} for status, reasons in _problems(route)}
    return found | refused


def _problems(route: Route) -> list[tuple[int, tuple[str, ...]]]:
    """By status, the reasons for which the route may refuse."""
    reasons = sorted(parts.reasons(route), key=lambda reason: (REASONS[reason].status, reason))
    return [(status, tuple(group)) for status, group in groupby(reasons, key=lambda reason: REASONS[reason].status)]


def _problem_name(status: int, reasons: tuple[str, ...]) -> str:
    return ".".join((str(status), *reasons))
