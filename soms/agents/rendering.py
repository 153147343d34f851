"""Messages out of template files, with money, numbers and times in the way of their reader. Knows no channel's protocol.

An event's type names its templates: `order_placed.txt` (with the subject as a block), `.html`, and `.sms` where there is one.
"""

import contextlib
import datetime as dt
import functools
import re
import zoneinfo
from decimal import Decimal
from typing import Any, Final, NamedTuple
from uuid import UUID

from babel import Locale, UnknownLocaleError
from babel.dates import format_datetime
from babel.numbers import format_currency, format_decimal
from jinja2 import Environment, PackageLoader, StrictUndefined, Template, select_autoescape

from soms.config import Settings
from soms.envelope import KINDS
from soms.models.notification import Channel
from soms.models.notification_plan import TOLD, Kind
from soms.models.notification_queue import Due
from soms.optout import OptOut, OptOuts

# ISO 4217: how many digits the minor unit takes, where not two
DIGITS: Final = {
    currency: digits
    for digits, currencies in (
        (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
        (3, "BHD IQD JOD KWD LYD OMR TND"),
        (4, "CLF UYW"),
    )
    for currency in currencies.split()
}
FALLBACK: Final = Locale("en", "GB")
# what fits into three parts of a text message (3GPP TS 23.038)
LONGEST_TEXT: Final = 459
LINES_SHOWN: Final = 50


class Mail(NamedTuple):
    """What a mail says; `unsubscribe_url` is empty for what its reader cannot do without."""

    subject: str
    text: str
    html: str
    unsubscribe_url: str = ""


class Reader(NamedTuple):
    """How somebody reads: the functions that templates call."""

    locale: Locale
    zone: dt.tzinfo

    def money(self, minor: int, currency: str) -> str:
        """An amount in minor units, exact, with its currency."""
        amount = Decimal(minor).scaleb(-DIGITS.get(currency, 2))
        return format_currency(amount, currency, locale=self.locale, decimal_quantization=False)

    def number(self, value: int) -> str:
        """A count."""
        return format_decimal(value, locale=self.locale)

    def when(self, moment: dt.datetime) -> str:
        """Date and time in the reader's zone."""
        return format_datetime(moment, "long", self.zone, self.locale)


class Writer:
    """Writes messages; any number at a time."""

    def __init__(self, settings: Settings) -> None:
        """Links lead to the gateway as people reach it."""
        self._url, self._optouts = settings.public_url.rstrip("/"), OptOuts(settings)
        self._templates = Environment(
            loader=PackageLoader("soms.agents"),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )

    def mail(self, one: Due) -> Mail:
        """The mail that tells of the event."""
        unsubscribe_url = self._unsubscribe_url(one)
        words = self._words(one) | {"unsubscribe_url": unsubscribe_url}
        plain = self._template(one, "txt")
        subject = " ".join("".join(plain.blocks["subject"](plain.new_context(words))).split())
        html = self._template(one, "html").render(words, subject=subject)
        return Mail(subject, _tidy(plain.render(words)), html, unsubscribe_url)

    def text(self, one: Due) -> str:
        """The text message that tells of the event."""
        return " ".join(self._template(one, "sms").render(self._words(one)).split())[:LONGEST_TEXT]

    def _unsubscribe_url(self, one: Due) -> str:
        user_id = one.payload["user_id"]
        wanted = user_id and TOLD[one.event_type] in {Kind.ORDERS, Kind.NEWS}
        return self._optouts.link(OptOut(UUID(user_id), Channel.EMAIL)) if wanted else ""

    def _template(self, one: Due, kind: str) -> Template:
        name = one.event_type.removeprefix("soms.").rpartition(".v")[0].replace(".", "_")
        return self._templates.get_template(f"{name}.{kind}")

    def _words(self, one: Due) -> dict[str, Any]:
        event = KINDS[one.event_type].model_validate(one.payload["event"])
        reader = Reader(_locale(one.payload["locale"]), _zone(one.payload["time_zone"]))
        return {
            "event": event,
            "name": one.payload["name"],
            "names": {line.sku: line.name for line in getattr(event, "lines", ())},
            "public_url": self._url,
            "shown": LINES_SHOWN,
            "money": reader.money,
            "number": reader.number,
            "when": reader.when,
        }


@functools.lru_cache(maxsize=256)
def _locale(tag: str) -> Locale:
    """The nearest known to a BCP 47 tag."""
    parts = tag.split("-")
    while parts:
        with contextlib.suppress(UnknownLocaleError, ValueError):
            return Locale.parse("-".join(parts), sep="-")
        parts.pop()
    return FALLBACK


@functools.lru_cache(maxsize=1024)
def _zone(name: str) -> dt.tzinfo:
    return zoneinfo.ZoneInfo(name)


def _tidy(text: str) -> str:
    """At most one blank line at a time."""
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
