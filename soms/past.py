"""Orders of the past, as another system kept them: what may be imported, with its bounds (rest.md, Import line). Knows no transport."""

import datetime as dt
import re
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from soms.values import LARGEST_TOTAL, MAXIMUM_ENTRY_LINES, MAXIMUM_PRICE, MAXIMUM_QUANTITY, Currency, Email, Line, Sku, Value, Word

RFC_3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE)
# a record on Kafka bears no time before it
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
SLACK: Final = dt.timedelta(minutes=5)


def _moment(said: Any) -> Any:
    if not isinstance(said, dt.datetime) and not (isinstance(said, str) and RFC_3339.fullmatch(said)):
        raise ValueError("must be a time with its zone as RFC 3339 says, such as 2011-08-31T10:00:00Z")
    return said


def _past(moment: dt.datetime) -> dt.datetime:
    if not EPOCH <= moment <= dt.datetime.now(dt.UTC) + SLACK:
        raise ValueError("must be a time since 1970 and not in the future")
    return moment.astimezone(dt.UTC)


def _given(text: Any) -> Any:
    """Exports say nothing in several ways."""
    return None if isinstance(text, str) and not text.strip() else text


def _stripped(text: Any) -> Any:
    return text.strip() if isinstance(text, str) else text


Given = BeforeValidator(_given)
Moment = Annotated[AwareDatetime, BeforeValidator(_moment), AfterValidator(_past)]
# rest.md: quantities and prices may be negative or zero here
Pieces = Annotated[int, Field(strict=True, ge=-MAXIMUM_QUANTITY, le=MAXIMUM_QUANTITY)]
Price = Annotated[int, Field(strict=True, ge=-MAXIMUM_PRICE, le=MAXIMUM_PRICE)]
Number = Annotated[Word, StringConstraints(max_length=100)]


class PastLine(Value):
    """One line; `unit_price` in minor units. Without a name the SKU stands for it."""

    sku: Annotated[Sku, BeforeValidator(_stripped)]
    name: Annotated[Line | None, Given] = None
    quantity: Pieces
    unit_price: Price


EXAMPLE: Final[dict[str, Any]] = {
    "external_number": "536365",
    "placed_at": "2010-12-01T08:26:00Z",
    "currency": "GBP",
    "external_user": "17850",
    "country": "GB",
    "lines": [{"sku": "85123A", "name": "WHITE HANGING HEART T-LIGHT HOLDER", "quantity": 6, "unit_price": 255}],
}


class PastOrder(Value):
    """One order; `cancels` is the external number of the one that it undoes, with the same lines and pieces taken back."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})
    external_number: Number
    placed_at: Moment
    currency: Currency
    email: Annotated[Email | None, Given] = None
    external_user: Annotated[Word | None, Given] = None
    name: Annotated[Line | None, Given] = None
    country: Annotated[Word | None, Given] = None
    lines: Annotated[tuple[PastLine, ...], Field(min_length=1, max_length=MAXIMUM_ENTRY_LINES)]
    cancels: Annotated[Number | None, Given] = None

    @property
    def units(self) -> int:
        """Pieces in all."""
        return sum(line.quantity for line in self.lines)

    @property
    def total(self) -> int:
        """Minor units of the currency."""
        return sum(line.quantity * line.unit_price for line in self.lines)

    @model_validator(mode="after")
    def _countable(self) -> Self:
        if abs(self.total) > LARGEST_TOTAL:
            raise ValueError("the lines add up to more than can be counted")
        return self
