"""Mails as their readers get them: handed in to a real server, and read again as a mail client reads."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from aiosmtpd.smtp import SMTP

from soms import events
from soms.agents.email import Email, mails
from soms.agents.rendering import Writer
from soms.config import Settings
from soms.errors import FailedPrecondition, InvalidArgument, SomsError
from soms.local import ports
from soms.models.notification_plan import KINDS, Contact, Kind
from soms.models.notification_queue import Due
from soms.optout import OptOuts

EVIL = "Eve\r\nBcc: all@example.org\r\n\r\n<script>alert(1)</script>"


@contextlib.asynccontextmanager
async def channel(stack: Settings, address: str) -> AsyncIterator[Email]:
    """The channel to a server."""
    async with mails(stack.model_copy(update={"smtp": address}), Writer(stack)) as found:
        yield found


async def hand(email: Email, one: Due) -> str:
    """Hand a mail in, with all that belongs to it; the server's answer."""
    try:
        return await email.send(one)
    finally:
        email.settled(one)


def parts(message: Any) -> tuple[str, str]:
    """Plain text and HTML."""
    plain, html = (message.get_body((kind,)).get_content().replace("\r\n", "\n") for kind in ("plain", "html"))
    return plain, html


async def test_every_fact_is_a_mail(post: Any, stack: Settings, due: Any, facts: list[events.Event]) -> None:
    """Subject, both parts with the same news, sender, reader, its own id, and no answer wanted from machines."""
    said = ["S-100001", "TX-7", "JD0002", "was delivered", "changed my mind", "2 x Blue mug", "ann@example.org", "T0ken-", "MUG-BLUE"]
    said, waiting = [*said, "suddenly"], [due(fact) for fact in facts]
    async with channel(stack, post.smtp) as email:
        answers = [await hand(email, one) for one in waiting]

    assert {type(fact) for fact in facts} == set(KINDS)
    assert set(answers) == {"OK"}
    for one, word, message in zip(waiting, said, post.mails(), strict=True):
        plain, html = parts(message)
        assert (message["From"], message["To"]) == ("SOMS <shop@soms.localhost>", "Ann <ann@example.org>")
        assert (message["Message-ID"], message["Auto-Submitted"]) == (f"<{one.id}@soms.localhost>", "auto-generated")
        assert message["Date"].datetime.tzinfo is not None
        assert message["Delivered-To"] == "ann@example.org"
        assert message["Subject"]
        assert word in plain
        assert word.partition(" x ")[2] in html
        assert plain.startswith("Hello Ann,\n\n")
        assert "\n-- \nYou get this because" in plain
        assert "You get this because" in html
        assert html.startswith("<!doctype html>")
    assert len({message["Subject"] for message in post.mails()}) == len(facts)


async def test_mails_of_orders_can_be_stopped(post: Any, stack: Settings, due: Any, facts: list[events.Event]) -> None:
    """By one click of the mail program (RFC 8058) and by a link in both parts; what a reader cannot do without has neither."""
    async with channel(stack, post.smtp) as email:
        for fact in facts:
            await hand(email, due(fact))
    for fact, message in zip(facts, post.mails(), strict=True):
        link = re.search(r"https://shop\.example/unsubscribe/([\w-]+)", parts(message)[0])
        if KINDS[type(fact)] not in (Kind.ORDERS, Kind.NEWS):
            assert (link, message["List-Unsubscribe"]) == (None, None)
            continue
        assert link
        assert message["List-Unsubscribe"] == f"<{link[0]}>"
        assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
        assert f'href="{link[0]}"' in parts(message)[1]
        assert OptOuts(stack).read(link[1]) == (UUID("018f0000-0000-7000-8000-00000000a001"), "email")


async def test_a_guest_has_no_preferences(post: Any, stack: Settings, due: Any, order: Any) -> None:
    """Their mail says why it comes, and greets nobody by name."""
    async with channel(stack, post.smtp) as email:
        await hand(email, due(order(user_id=None), contact=Contact("guest@example.org")))
    (message,) = post.mails()

    assert parts(message)[0].startswith("Hello,\n")
    assert "somebody ordered with this address" in parts(message)[0]
    assert message["List-Unsubscribe"] is None


async def test_strangers_write_no_headers_and_no_markup(post: Any, stack: Settings, due: Any, order: Any) -> None:
    """Whatever stands in a name, a reason or a number: one subject, one reader, one body, and markup is text."""
    lines = [{"sku": "A", "name": f"<b>{EVIL}", "quantity": 1, "unit_price": 1}]
    fact = order(events.OrderCancelled, number=f"S-1{EVIL}", reason=f"<img src=x>{EVIL}", lines=lines)
    async with channel(stack, post.smtp) as email:
        await hand(email, due(fact, name=f'"{EVIL}", <eve@example.org>'))
    (message,) = post.mails()
    plain, html = parts(message)

    assert message["Bcc"] is None
    (reader,) = message["To"].addresses
    assert (reader.display_name, reader.addr_spec) == ("Eve Bcc all example.org script alert 1 /script eve example.org", "ann@example.org")
    assert message.get_all("Delivered-To") == ["ann@example.org"]
    assert message["Subject"].strip().startswith("Your order S-1Eve Bcc: all@example.org <script>")
    assert not re.search(r"<(script|img|b>)", html)
    assert "&lt;script&gt;" in html
    assert "<script>" in plain


@pytest.mark.parametrize("recipient", ["zoë@example.org", "ann@bücher.example", "ann@straße.example"])
async def test_addresses_of_the_world(post: Any, stack: Settings, due: Any, order: Any, recipient: str) -> None:
    """Letters of all scripts on both sides of the @; a domain goes as servers know it."""
    async with channel(stack, post.smtp) as email:
        await hand(email, due(order(), email=recipient, name="Zoë 语"))
    (message,) = post.mails()
    domains = {"bücher.example": "xn--bcher-kva.example", "straße.example": "xn--strae-oqa.example", "example.org": "example.org"}
    local, _, domain = recipient.partition("@")

    assert message["Delivered-To"] == f"{local}@{domains[domain]}"
    assert message["To"].addresses[0].display_name.encode(errors="surrogateescape").decode() == "Zoë 语"


async def test_connections_are_kept(post: Any, stack: Settings, due: Any, order: Any) -> None:
    """One serves mail after mail; where the server has closed it, another is made; at the end none is left."""
    async with channel(stack, post.smtp) as email:
        kept = email._server._idle
        await hand(email, due(order()))
        [first] = kept
        await hand(email, due(order()))
        assert kept[0].client is first.client
        first.client.close()
        await hand(email, due(order()))
        assert kept[0].client is not first.client
    assert (len(post.mails()), kept) == (3, [])


class Answering:
    """A server with an answer of its own at each step."""

    def __init__(self, **answers: str) -> None:
        self.answers = {"RCPT": "250 OK", "DATA": "250 OK"} | answers

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Say so."""
        envelope.rcpt_tos.append(address)
        return self.answers["RCPT"]

    async def handle_DATA(self, *_: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Say so."""
        return self.answers["DATA"]


@pytest.mark.parametrize(
    ("answers", "permanent"),
    [
        ({"RCPT": "550 5.1.1 no such user"}, True),
        ({"RCPT": "450 4.2.0 greylisted, try again later"}, False),
        ({"DATA": "554 5.7.1 spam"}, True),
        ({"DATA": "452 4.3.1 no space"}, False),
    ],
)
async def test_answers_decide(stack: Settings, due: Any, order: Any, answers: dict[str, str], permanent: bool) -> None:
    """A five is for good, a four is for now; the server's words are kept; the connection goes on."""
    server = Answering(**answers)
    async with listening(server) as address, channel(stack, address) as email:
        with pytest.raises(SomsError, match=next(iter(answers.values()))[4:]) as refused:
            await hand(email, due(order()))
        assert isinstance(refused.value, FailedPrecondition) is permanent
        server.answers = {"RCPT": "250 OK", "DATA": "250 queued as 7"}
        assert await hand(email, due(order())) == "queued as 7"


@contextlib.asynccontextmanager
async def listening(server: Answering) -> AsyncIterator[str]:
    """A server in this very loop, for as long as the block; its address."""
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: SMTP(server, loop=loop), "127.0.0.1", 0)
    async with listener:
        yield f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"


async def test_an_address_for_nobody_is_refused(post: Any, stack: Settings, due: Any, order: Any) -> None:
    """What cannot be an address never will be."""
    async with channel(stack, post.smtp) as email:
        for wrong in ("nobody", "a@b@c", "a b@example.org", ""):
            with pytest.raises(FailedPrecondition, match="no mail can go to"):
                await hand(email, due(order(), email=wrong))
    assert post.mails() == []


async def test_a_server_that_is_away_may_come_back(stack: Settings, due: Any, order: Any) -> None:
    """Nobody listens: an OSError, which is tried again."""
    async with channel(stack, f"127.0.0.1:{ports.choose(1)[0]}") as email:
        with pytest.raises(OSError, match="onnect"):
            await hand(email, due(order()))


@pytest.mark.parametrize("wrong", ["", "ftp://mail.example", "smtp://mail.example?from=nobody", "mail.example:port"])
async def test_a_wrong_setting_is_named(stack: Settings, wrong: str) -> None:
    """At once, by its variable."""
    with pytest.raises((FailedPrecondition, InvalidArgument), match="SOMS_SMTP"):
        async with channel(stack, wrong):
            raise AssertionError


async def test_the_setting_says_who_sends(post: Any, stack: Settings, due: Any, order: Any) -> None:
    """Name and address, with %-signs for what a URL cannot hold."""
    async with channel(stack, f"smtp://{post.smtp}?from=The%20Shop%20<orders+eu@shop.example>") as email:
        await hand(email, due(order()))
    (message,) = post.mails()

    assert message["From"] == "The Shop <orders+eu@shop.example>"
    assert message["Message-ID"].endswith("@shop.example>")
