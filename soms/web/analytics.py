"""Figures of the shop as it is and as it was, asked of the analytics agent. Adds nothing up itself."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field
from typing_extensions import TypedDict

from soms.errors import InvalidArgument
from soms.values import TimeZone
from soms.web.agents import Following
from soms.web.analytics_shapes import Cohort, CustomerFigures, Finding, Funnel, Listed, Live, Overview, ProductFigures, SummaryRow
from soms.web.auth import Access
from soms.web.queries import Time, number
from soms.web.routes import Answer, Request, route
from soms.web.shapes import shape, timestamp

SERVICE: Final = "ANALYTICS-SERVICE"
SECONDS: Final = 4.0
USUAL_RANGE: Final = timedelta(days=30)
USUAL_MINUTES: Final = timedelta(days=1)
EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
# an answer of more is no use to anybody, and keeps the agent from what is live
ROWS: Final = 20_000
INTERVALS: Final = {"minute": 60, "hour": 3_600, "day": 86_400, "week": 604_800, "month": 28 * 86_400}
Limit = Annotated[int, Field(ge=1, le=100, description="How many at most, 10 unless said."), BeforeValidator(number)]


@shape()
class Range(TypedDict, total=False):
    """Orders placed in which time."""

    from_: Annotated[Time, Field(alias="from", description="Placed then or later; 30 days before `to` unless said, one day in minutes.")]
    to: Annotated[Time, Field(description="Placed before; now unless said.")]


@shape()
class SummaryFilters(Range, total=False):
    """How to cut a range into pieces."""

    interval: Annotated[Literal["minute", "hour", "day", "week", "month"], Field(description="`day` unless said.")]
    by: Literal["product", "country", "status"]
    time_zone: Annotated[TimeZone, Field(description="Whose days, weeks and months; that of the shop unless said.")]


@shape()
class CohortFilters(Range, total=False):
    """Whose first orders, by which calendar."""

    time_zone: Annotated[TimeZone, Field(description="Whose months; that of the shop unless said.")]


@shape()
class ProductRanking(Range, total=False):
    """Which products come first."""

    limit: Limit
    order: Annotated[Literal["revenue", "units"], Field(description="`revenue` unless said.")]


@shape()
class CustomerRanking(Range, total=False):
    """How many customers to name."""

    limit: Limit


@shape()
class FindingFilters(TypedDict, total=False):
    """How many findings to list."""

    limit: Limit


@route("GET", "/analytics/live", Access.STAFF, seconds=SECONDS, cookie=True)
async def show_live(request: Request[None]) -> Answer[Live]:
    """The last hour by minutes, and what came of it; `lag_seconds` says how far behind the orders these figures may be."""
    return Answer(await request.agents.ask(SERVICE, "GET", "/live"))


@route("GET", "/analytics/stream", Access.STAFF, seconds=SECONDS, cookie=True)
async def stream_live(request: Request[None]) -> Answer[Following]:
    """The live figures whenever they change, as server-sent events `live`; ends soon after the token does."""
    return Answer(await request.agents.follow(SERVICE, "/stream", request.resume))


@route("GET", "/analytics/summary", Access.STAFF, seconds=SECONDS, cookie=True)
async def summarise(request: Request[SummaryFilters]) -> Answer[Listed[SummaryRow]]:
    """A range in intervals, oldest first; an order counts where it was placed, whatever became of it later."""
    start, end = _range(request.input)
    interval = request.input.get("interval", "day")
    if (end - start).total_seconds() > ROWS * INTERVALS[interval]:
        raise _wrong("from", "too_long", f"at most {ROWS} intervals at once")
    more = {name: request.input.get(name) for name in ("by", "time_zone")}
    return Answer(await _ask(request, "/summary", interval=interval, **more))


@route("GET", "/analytics/top-products", Access.STAFF, seconds=SECONDS, cookie=True)
async def list_top_products(request: Request[ProductRanking]) -> Answer[Listed[ProductFigures]]:
    """What sold best."""
    return Answer(await _ask(request, "/top-products", limit=request.input.get("limit", 10), order=request.input.get("order", "revenue")))


@route("GET", "/analytics/overview", Access.STAFF, seconds=SECONDS, cookie=True)
async def show_overview(request: Request[Range]) -> Answer[Overview]:
    """A range in a few figures."""
    return Answer(await _ask(request, "/overview"))


@route("GET", "/analytics/funnel", Access.STAFF, seconds=SECONDS, cookie=True)
async def show_funnel(request: Request[Range]) -> Answer[Funnel]:
    """How far the orders of a range came, and how long each step took."""
    return Answer(await _ask(request, "/funnel"))


@route("GET", "/analytics/cohorts", Access.STAFF, seconds=SECONDS, cookie=True)
async def list_cohorts(request: Request[CohortFilters]) -> Answer[Listed[Cohort]]:
    """Customers by the month of their first order, and what they bought in the months since."""
    return Answer(await _ask(request, "/cohorts", time_zone=request.input.get("time_zone")))


@route("GET", "/analytics/top-customers", Access.STAFF, seconds=SECONDS, cookie=True)
async def list_top_customers(request: Request[CustomerRanking]) -> Answer[Listed[CustomerFigures]]:
    """Who bought most; guests are left out."""
    return Answer(await _ask(request, "/top-customers", limit=request.input.get("limit", 10)))


@route("GET", "/analytics/findings", Access.STAFF, seconds=SECONDS, cookie=True)
async def list_findings(request: Request[FindingFilters]) -> Answer[Listed[Finding]]:
    """What was unlike the same hour of other weeks, newest first."""
    found = (await request.agents.ask(SERVICE, "GET", "/findings", limit=request.input.get("limit", 10)))["items"]
    return Answer({"items": [one | {name: _time(one[name]) for name in ("start", "created_at")} for one in found]})


async def _ask(request: Request[Any], path: str, **more: Any) -> Any:
    start, end = _range(request.input)
    return await request.agents.ask(SERVICE, "GET", path, **{"from": timestamp(start), "to": timestamp(end)}, **more)


def _range(asked: Any) -> tuple[datetime, datetime]:
    """The range asked for; raises InvalidArgument for one that ends before it begins."""
    end = asked.get("to") or max(datetime.now(UTC), asked.get("from_", EARLIEST))
    usual = USUAL_MINUTES if asked.get("interval") == "minute" else USUAL_RANGE
    start = asked.get("from_") or end - min(usual, end - EARLIEST)
    if start > end:
        raise _wrong("from", "invalid", "must not be after `to`")
    return start, end


def _time(text: str) -> str:
    return timestamp(datetime.fromisoformat(text).astimezone(UTC))


def _wrong(field: str, code: str, message: str) -> InvalidArgument:
    return InvalidArgument(f"{field}: {message}", reason="invalid_parameter", errors=[{"field": field, "code": code, "message": message}])


ROUTES: Final = (
    show_live,
    stream_live,
    summarise,
    list_top_products,
    show_overview,
    show_funnel,
    list_cohorts,
    list_top_customers,
    list_findings,
)
