"""Words of messages: money, numbers and times in the way of their reader, and what does not fit."""

import datetime as dt
from typing import Any

import pytest

from soms import events
from soms.agents.rendering import Writer
from soms.models.notification import Channel

WINTER = dt.datetime(2026, 12, 24, 23, 30, tzinfo=dt.UTC)


CASES = [
    ("en-GB", "Europe/London", "GBP", 123450, "£1,234.50", "24 December 2026, 23:30:00 GMT"),
    ("en-US", "America/New_York", "USD", 123450, "$1,234.50", "December 24, 2026, 6:30:00 PM EST"),
    ("de-DE", "Europe/Berlin", "EUR", 123450, "1.234,50 €", "25. Dezember 2026, 00:30:00 MEZ"),
    ("fr", "Europe/Paris", "EUR", 123450, "1 234,50 €", "25 décembre 2026"),
    ("ja-JP", "Asia/Tokyo", "JPY", 123450, "￥123,450", "2026年12月25日"),
    ("ar-KW", "Asia/Kuwait", "KWD", 1234567, "1,234.567", "2026"),
    ("de-XX", "UTC", "EUR", 5, "0,05 €", "24. Dezember 2026"),
    ("xx-Latn-YY", "UTC", "GBP", -100, "-£1.00", "24 December 2026"),
    ("en-GB", "UTC", "XTS", 1, "XTS0.01", "24 December 2026"),
    ("en-GB", "UTC", "IRR", 1234, "IRR12.34", "24 December 2026"),
]


@pytest.mark.parametrize("case", CASES)
def test_money_and_times_in_the_way_of_the_reader(writer: Writer, due: Any, order: Any, case: tuple[str, str, str, int, str, str]) -> None:
    """Signs, separators, decimals by currency (none, two, three), and the clock on their wall; strange locales fall back."""
    locale, zone, currency, total, money, moment = case
    one = due(order(currency=currency, total=total, placed_at=WINTER), locale=locale, time_zone=zone)
    said = writer.mail(one).text.replace("\xa0", " ").replace("\u202f", " ").replace("\u200f", "")

    assert f"Total: {money}" in said
    assert moment in said


def test_text_messages_are_short(writer: Writer, due: Any, facts: list[events.Event], order: Any) -> None:
    """One sentence for each fact of an order, with what matters in it; never longer than three parts."""
    said = [writer.text(due(fact, Channel.SMS)) for fact in facts if isinstance(fact, events.OrderEvent)]

    assert said == [
        "We have your order S-100001 (£10,200.00). Thank you.",
        "We have received £10,200.00 for your order S-100001.",
        "Your order S-100001 is on its way with DHL. Tracking number: JD0002",
        "Your order S-100001 has arrived.",
        "Your order S-100001 is cancelled.",
        "We have your return of order S-100001.",
    ]
    assert writer.text(due(order(events.OrderShipped), Channel.SMS)) == "Your order S-100001 is on its way."
    assert len(writer.text(due(order(events.OrderShipped, carrier="x" * 999), Channel.SMS))) == 459


def test_long_orders_are_cut(writer: Writer, due: Any, order: Any) -> None:
    """A thousand lines are fifty and a count; the total stands."""
    line = {"sku": "A", "name": "Thing", "quantity": 1, "unit_price": 100}
    mail = writer.mail(due(order(lines=[line] * 1000)))

    assert mail.text.count("1 x Thing (A): £1.00") == 50
    assert "and 950 more" in mail.text
    assert mail.html.count("<td>Thing") == 50
    assert "and 950 more" in mail.html
    assert "Total: £10,200.00" in mail.text


def test_what_was_not_said_is_not_shown(writer: Writer, due: Any, order: Any) -> None:
    """No carrier, no reason, no reference: no empty words about them, and never two blank lines."""
    for kind in (events.OrderShipped, events.OrderCancelled, events.OrderPaid):
        mail = writer.mail(due(order(kind)))
        for word in ("Carrier", "Tracking", "Reason", "Reference", "None"):
            assert word not in mail.text + mail.html
        assert "\n\n\n" not in mail.text
