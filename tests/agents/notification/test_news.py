"""News of the shop: to staff who want it by mail, in words and HTML that hold whatever a product is called."""

import datetime as dt
from uuid import UUID, uuid4

import orjson

from soms.agents.contacts import contact
from soms.agents.rendering import Writer
from soms.finding import AnalyticsFinding
from soms.models.notification import Channel, Status
from soms.models.notification_plan import Contact, plan
from soms.models.notification_queue import Due
from soms.rpc.gen.soms import v1

ANN = UUID("018f0000-0000-7000-8000-00000000a001")
NOW = dt.datetime(2026, 7, 1, 12, 5, tzinfo=dt.UTC)
FOUND = AnalyticsFinding(
    version=1,
    finding_id=uuid4(),
    kind="high",
    metric="product",
    subject="MUG",
    start=NOW - dt.timedelta(hours=12),
    seconds=86400,
    expected=0.2,
    actual=12,
    message="<b>Mug</b> (MUG) suddenly sells: 12 orders in a day, usual are 0.2.",
)


def test_only_those_who_want_news_are_told() -> None:
    """Who wants news is mailed, who wants those of orders alone is not, and nobody gets a text message."""
    keen = Contact("ann@example.org", ANN, phone="+447700900123", news=frozenset({Channel.EMAIL, Channel.SMS}))
    calm = Contact("bob@example.org", uuid4())

    planned = plan(FOUND, NOW, [keen, calm], {Channel.EMAIL, Channel.SMS}, NOW)

    assert [(one.recipient, one.channel, one.status) for one in planned] == [
        ("ann@example.org", Channel.EMAIL, Status.PENDING),
        ("bob@example.org", Channel.EMAIL, Status.SUPPRESSED),
    ]


def test_the_preference_is_that_of_the_user_service() -> None:
    """`email.news` of a person's preferences decides."""
    for wanted in (True, False):
        wishes = v1.Preferences(email=v1.ChannelPreferences(orders=not wanted, news=wanted))
        answer = v1.GetContactResponse(user=v1.User(id=str(ANN), email="ann@example.org"), preferences=wishes)
        assert contact(answer).news == ({Channel.EMAIL} if wanted else set())


def test_the_mail_says_what_was_found(writer: Writer) -> None:
    """The sentence is subject and body, markup in it is text, and there is a way to the figures and one out."""
    keen = Contact("ann@example.org", ANN, "Ann", news=frozenset({Channel.EMAIL}))
    [row] = plan(FOUND, NOW, [keen], {Channel.EMAIL}, NOW)
    mail = writer.mail(Due(uuid4(), uuid4(), FOUND.type, None, row.channel, row.recipient, 1, 0, orjson.loads(row.payload or ""), NOW))

    assert mail.subject == f"Unusual: {FOUND.message}"
    assert FOUND.message in mail.text
    assert "https://shop.example/dashboard" in mail.text
    assert mail.unsubscribe_url in mail.text
    assert mail.unsubscribe_url
    assert "&lt;b&gt;Mug&lt;/b&gt;" in mail.html
