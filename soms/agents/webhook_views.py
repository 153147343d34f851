"""Setting up webhooks over HTTP, for the gateway: for staff alone."""

from typing import Any
from uuid import UUID

from aiohttp import web
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from soms.agents import target
from soms.agents.views import STAFF, Answer, Question, view
from soms.errors import InvalidArgument, NotFound
from soms.models import webhook
from soms.subscription import EventTypes, Url
from soms.tokens import Verifier


class Changes(TypedDict, total=False):
    """What may be said of a webhook."""

    url: Url
    event_types: EventTypes
    active: bool


CHANGES = TypeAdapter(Changes)


def routes(verifier: Verifier, *, private: bool) -> list[web.RouteDef]:
    """The routes; private addresses are taken where that is allowed."""

    async def add(question: Question) -> Any:
        said = await _said(question, private=private)
        for missing in sorted({"url", "event_types"} - said.keys()):
            raise InvalidArgument.field(missing, "missing", "is required")
        return await webhook.add(said["url"], said["event_types"])

    async def change(question: Question) -> Any:
        return await webhook.change(_id(question), dict(await _said(question, private=private)), _if_version(question))

    answers: dict[tuple[str, str], Answer] = {
        ("GET", ""): _listed,
        ("POST", ""): add,
        ("GET", "/{id}"): lambda question: webhook.show(_id(question)),
        ("PATCH", "/{id}"): change,
        ("DELETE", "/{id}"): lambda question: webhook.remove(_id(question), _if_version(question)),
        ("POST", "/{id}/rotate-secret"): lambda question: webhook.rotate(_id(question), _if_version(question)),
    }
    return [view(method, f"/webhooks{path}", verifier, STAFF, answer) for (method, path), answer in answers.items()]


async def _listed(question: Question) -> dict[str, Any]:
    size = _number(question, "page_size")
    items, token = await webhook.page(size or 0, question.query.get("page_token", ""))
    return {"items": items, "next_page_token": token}


async def _said(question: Question, *, private: bool) -> Changes:
    """What is said, checked. Raises InvalidArgument."""
    try:
        said = CHANGES.validate_python(question.body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise InvalidArgument.field(".".join(map(str, first["loc"])), "invalid", first["msg"]) from error
    if "url" in said:
        await target.check(said["url"], private=private)
    return said


def _id(question: Question) -> UUID:
    try:
        return UUID(question.path["id"])
    except ValueError as cause:
        raise NotFound("there is no such webhook") from cause


def _if_version(question: Question) -> int | None:
    return _number(question, "if_version")


def _number(question: Question, name: str) -> int | None:
    try:
        return int(question.query[name]) if name in question.query else None
    except ValueError as cause:
        raise InvalidArgument(f"{name} is no number", reason="invalid_parameter") from cause
