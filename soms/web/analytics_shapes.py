"""What figures look like in JSON: the analytics agent says them in these very words. Part of the noun analytics."""

from typing import Annotated, Generic, TypeVar

from pydantic import Field
from typing_extensions import TypedDict

from soms.web.shapes import Timestamp, Uuid

Item = TypeVar("Item")
Revenue = Annotated[dict[str, int], Field(description="Minor units by currency; net of what was cancelled or returned.")]
Share = Annotated[float | None, Field(description="Between 0 and 1; null where there is nothing to divide by.")]
Seconds = Annotated[float | None, Field(description="Null where no order got that far.")]


class Listed(TypedDict, Generic[Item]):
    """All there is, on one page."""

    items: list[Item]


class Window(TypedDict):
    """What happened in so many seconds; in live figures an order is taken back when it is cancelled, not where it was placed."""

    start: Timestamp
    seconds: int
    orders: int
    units: int
    revenue: Revenue
    cancelled: int
    returned: int


class Totals(TypedDict):
    """The windows that people look at first; today is the day in the shop's time zone."""

    last_minute: Window
    last_hour: Window
    today: Window


class ProductFigures(TypedDict):
    """What one product brought."""

    sku: str
    name: str | None
    orders: int
    units: int
    revenue: Revenue


class CountryFigures(TypedDict):
    """What one country brought; `country` as ISO 3166-1 alpha-2, null where it is not known."""

    country: str | None
    orders: int
    units: int
    revenue: Revenue


class Live(TypedDict):
    """The 60 newest minutes, oldest first, gaps as zeros; what came first in this hour and the one before."""

    as_of: Timestamp
    lag_seconds: float
    windows: list[Window]
    totals: Totals
    top_products: list[ProductFigures]
    top_countries: list[CountryFigures]


class SummaryRow(TypedDict):
    """One interval, or one key within one; `key` is null without `by`, and where it is not known."""

    start: Timestamp
    key: str | None
    orders: int
    units: int
    revenue: Revenue
    cancelled: int
    returned: int


class Overview(TypedDict):
    """A range in a few figures; customers are new in the range of their first order."""

    orders: int
    units: int
    revenue: Revenue
    average_order_value: Revenue
    cancellation_rate: Share
    return_rate: Share
    new_customers: int
    returning_customers: int


class StepSeconds(TypedDict):
    """The usual (median) time from the step before."""

    paid: Seconds
    shipped: Seconds
    delivered: Seconds


class Funnel(TypedDict):
    """How many of the orders placed in a range came to each step."""

    placed: int
    paid: int
    shipped: int
    delivered: int
    cancelled: int
    returned: int
    median_seconds: StepSeconds


class CohortMonth(TypedDict):
    """What a cohort bought in one month."""

    month: str
    customers: int
    orders: int
    revenue: Revenue


class Cohort(TypedDict):
    """The customers whose first order was in one month, such as 2026-01."""

    cohort: str
    customers: int
    months: list[CohortMonth]


class CustomerFigures(TypedDict):
    """What one customer bought."""

    user_id: Uuid | None
    orders: int
    units: int
    revenue: Revenue


class Finding(TypedDict):
    """An hour that was unlike the same hour of other weeks, in words and figures."""

    id: Uuid
    kind: str
    metric: str
    key: str | None
    start: Timestamp
    expected: float
    actual: float
    message: str
    created_at: Timestamp
