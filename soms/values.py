"""The words of the domain with their bounds: one place for what a SKU, a quantity or a price may be (rest.md, Shapes).

Annotated types for pydantic models of REST bodies, events and domain arguments alike. Knows no transport and no database.
"""

import zoneinfo
from typing import Annotated

import email_validator
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

# hosts that never leave a machine or a test, such as `soms.localhost` of the first admin, are as good as others here
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

MAXIMUM_QUANTITY = 1_000_000
MAXIMUM_PRICE = 1_000_000_000
MAXIMUM_LINES = 1_000
# of an order that staff enter or import
MAXIMUM_ENTRY_LINES = 10_000
MAXIMUM_STOCK = 1_000_000_000
# of a bigint, minor units
LARGEST_TOTAL = (1 << 63) - 1

# What no mail header or database text can carry: control characters, but for line breaks and tabs where text may have lines.
# Patterns rather than functions, so that the JSON schemas of REST say the same.
_ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"
_ONE_LINE_NOT_BLANK = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"
_LINES = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"
_LINES_NOT_BLANK = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]*$"


def _sku(text: str) -> str:
    if text in {".", ".."}:
        raise ValueError("must not be a path segment")
    return text


def _zone(name: str) -> str:
    if name not in zoneinfo.available_timezones():
        raise ValueError("must be an IANA time zone")
    return name


def _canonical_email(email: str) -> str:
    """One form for one mailbox: NFC, lower case (RFC 5321 lets hosts ignore case; every host we know does)."""
    return email_validator.validate_email(email, check_deliverability=False).normalized.lower()


def routable(email: str) -> str:
    """The address as every mail server takes it: its domain in ASCII (RFC 5891), as is its local part for nearly all."""
    return email_validator.validate_email(email, check_deliverability=False).ascii_email or email


def _password(text: str) -> str:
    if not 10 <= len(text.encode()) <= 256:  # noqa: PLR2004 - the bounds of rest.md
        raise ValueError("must have 10 to 256 bytes")
    return text


# printable ASCII without `/`, no space at either end
Sku = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=r"^[!-.0-~]([ -.0-~]*[!-.0-~])?$"),
    Field(json_schema_extra={"not": {"enum": [".", ".."]}}),
    AfterValidator(_sku),
]
Quantity = Annotated[int, Field(strict=True, ge=1, le=MAXIMUM_QUANTITY)]
Price = Annotated[int, Field(strict=True, ge=0, le=MAXIMUM_PRICE)]
StockCount = Annotated[int, Field(strict=True, ge=0, le=MAXIMUM_STOCK)]
Currency = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]
Country = Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")]
Email = Annotated[str, Field(max_length=254, json_schema_extra={"format": "email"}), AfterValidator(_canonical_email)]
Phone = Annotated[str, StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$")]
# schemas count characters, of which three may have ten bytes
Password = Annotated[
    str,
    Field(json_schema_extra={"minLength": 3, "maxLength": 256}, description="10 to 256 bytes of UTF-8."),
    AfterValidator(_password),
]
IdempotencyKey = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[!-~]+$")]
TimeZone = Annotated[str, AfterValidator(_zone)]
Locale = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True, pattern=_ONE_LINE_NOT_BLANK)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True, pattern=_ONE_LINE_NOT_BLANK)]
OptionalLine = Annotated[str, StringConstraints(max_length=200, strip_whitespace=True, pattern=_ONE_LINE)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=500, strip_whitespace=True, pattern=_LINES_NOT_BLANK)]
Note = Annotated[str, StringConstraints(max_length=2_000, pattern=_LINES)]
Text = Annotated[str, StringConstraints(max_length=5_000, pattern=_LINES)]
ClockTime = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


class Value(BaseModel):
    """A value of the domain: frozen, and closed against members nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PostalAddress(Value):
    """Where goods go; members of rest.md without `id` and `is_default`."""

    name: Line
    line1: Line
    line2: OptionalLine = ""
    city: Line
    region: OptionalLine = ""
    postal_code: OptionalLine = ""
    country: Country
    phone: OptionalLine = ""
