"""History over HTTP, for the gateway: staff ask for figures of a range. Adds nothing up itself."""

import datetime as dt
import enum
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from soms.agents.views import STAFF, Question, view
from soms.config import settings
from soms.models import history_customers, history_query
from soms.models.history_query import By, Interval, Range, Ranking, wrong
from soms.tokens import Verifier
from soms.values import TimeZone

MOMENT: Final[TypeAdapter[dt.datetime]] = TypeAdapter(AwareDatetime)
ZONE: Final[TypeAdapter[str]] = TypeAdapter(TimeZone)
USUAL_RANGE: Final = dt.timedelta(days=30)
USUAL_LIMIT: Final = 10
LARGEST_LIMIT: Final = 100
Word = TypeVar("Word", bound=enum.StrEnum)


def routes(verifier: Verifier) -> list[web.RouteDef]:
    """The routes."""

    async def summary(question: Question) -> Any:
        by = _word(question, "by", By, None)
        interval = _word(question, "interval", Interval, Interval.DAY) or Interval.DAY
        return {"items": await history_query.summary(_range(question), interval, by, _zone(question))}

    async def top_products(question: Question) -> Any:
        ranking = _word(question, "order", Ranking, Ranking.REVENUE) or Ranking.REVENUE
        return {"items": await history_query.top_products(_range(question), _limit(question), ranking)}

    async def overview(question: Question) -> Any:
        return await history_customers.overview(_range(question))

    async def funnel(question: Question) -> Any:
        return await history_customers.funnel(_range(question))

    async def cohorts(question: Question) -> Any:
        return {"items": await history_customers.cohorts(_range(question), _zone(question))}

    async def top_customers(question: Question) -> Any:
        return {"items": await history_customers.top_customers(_range(question), _limit(question))}

    answers = (summary, top_products, overview, funnel, cohorts, top_customers)
    return [view("GET", f"/{answer.__name__.replace('_', '-')}", verifier, STAFF, answer) for answer in answers]


def _range(question: Question) -> Range:
    end = _moment(question, "to") or dt.datetime.now(dt.UTC)
    start = _moment(question, "from") or end - USUAL_RANGE
    if start > end:
        raise wrong("from", "must not be after `to`")
    return Range(start, end)


def _moment(question: Question, name: str) -> dt.datetime | None:
    if name not in question.query:
        return None
    try:
        return MOMENT.validate_strings(question.query[name]).astimezone(dt.UTC)
    except (ValidationError, OverflowError) as cause:
        raise wrong(name, "must be a time with its zone as RFC 3339 says") from cause


def _zone(question: Question) -> str:
    try:
        return ZONE.validate_python(question.query.get("time_zone") or settings().time_zone)
    except ValidationError as cause:
        raise wrong("time_zone", "must be the IANA name of a time zone") from cause


def _limit(question: Question) -> int:
    said = question.query.get("limit", str(USUAL_LIMIT))
    if not (said.isascii() and said.isdigit() and len(said) <= len(str(LARGEST_LIMIT)) and 1 <= int(said) <= LARGEST_LIMIT):
        raise wrong("limit", f"must be a whole number from 1 to {LARGEST_LIMIT}")
    return int(said)


def _word(question: Question, name: str, words: type[Word], usual: Word | None) -> Word | None:
    if name not in question.query:
        return usual
    try:
        return words(question.query[name])
    except ValueError as cause:
        raise wrong(name, f"must be one of {', '.join(words)}") from cause
