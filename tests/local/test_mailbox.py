"""The mailbox."""

import asyncio
import smtplib
from collections.abc import AsyncIterator, Callable
from email.message import EmailMessage
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from soms.local import mail, ports
from soms.local.mailbox import Mailbox

EVIL = "<script>alert('£')</script>"


@pytest.fixture(scope="module")
async def mailbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mailbox]:
    """A mailbox that listens."""
    engine = Mailbox(tmp_path_factory.mktemp("mailbox"), *ports.choose(2))
    async with engine.running():
        yield engine


@pytest.fixture
async def get(mailbox: Mailbox) -> AsyncIterator[Callable]:
    """GET a path of its page: status, headers, text."""
    async with aiohttp.ClientSession(mailbox.address) as session:

        async def one(path: str, **headers: str) -> tuple[int, Any, str]:
            async with session.get(path, headers=headers) as answer:
                return answer.status, answer, await answer.text()

        yield one


def send(mailbox: Mailbox, content: bytes, *receivers: str) -> None:
    """Hand in a mail as it is."""
    with smtplib.SMTP("127.0.0.1", mailbox.smtp_port, timeout=5) as server:
        server.sendmail("shop@example.com", list(receivers), content)


async def test_a_mail_is_kept_and_shown(mailbox: Mailbox, get: Callable) -> None:
    """As JSON with both texts and all headers, as a page, and as a file that survives a kill."""
    message = EmailMessage()
    message["Subject"] = f"Your order £5 {EVIL}"
    message["From"], message["To"] = "shop@example.com", "Zoë <zoe@example.com>"
    message.set_content(f"Thank you, Zoë {EVIL}")
    message.add_alternative("<p>Thank you</p>", subtype="html")
    await asyncio.to_thread(send, mailbox, message.as_bytes(), "zoe@example.com", "hidden@example.com")
    shown = (await (await get("/messages"))[1].json())[0]
    assert shown["subject"] == message["Subject"]
    assert (shown["from"], shown["to"]) == ("shop@example.com", "Zoë <zoe@example.com>")
    assert (shown["text"].strip(), shown["html"].strip()) == (f"Thank you, Zoë {EVIL}", "<p>Thank you</p>")
    assert shown["headers"]["Return-Path"] == "<shop@example.com>"
    assert (mailbox.folder / f"{shown['id']}.eml").exists()


async def test_a_mail_is_text_on_the_page(mailbox: Mailbox, get: Callable) -> None:
    """Markup in a mail is shown, not run."""
    await asyncio.to_thread(send, mailbox, f"Subject: {EVIL}\r\n\r\n{EVIL}".encode("latin-1"), "a@example.com")
    status, answer, text = await get("/")
    assert status == HTTPStatus.OK
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


async def test_a_mail_by_itself(mailbox: Mailbox, get: Callable) -> None:
    """Its HTML in a sandbox that runs nothing and loads nothing, its text and its headers escaped; what is no mail is not found."""
    message = EmailMessage()
    message["Subject"], message["To"] = "Both", "a@example.com"
    message.set_content(f"plain {EVIL}")
    message.add_alternative(f"<b>rich</b>{EVIL}", subtype="html")
    await asyncio.to_thread(send, mailbox, message.as_bytes(), "a@example.com")
    path = f"/mails/{(await (await get('/messages'))[1].json())[0]['id']}"
    _, framed, html = await get(f"{path}/html")
    pages = {part: (await get(f"{path}?part={part}"))[2] for part in ("html", "text", "headers", "other")}

    assert html.strip() == f"<b>rich</b>{EVIL}"
    assert framed.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert f'<iframe sandbox src="{path}/html"' in pages["html"] == pages["other"]
    assert "plain &lt;script&gt;" in pages["text"]
    assert "Return-Path: &lt;shop@example.com&gt;" in pages["headers"]
    assert all("<script" not in page for page in pages.values())
    assert [(await get(wrong))[0] for wrong in ("/mails/nothing", "/mails/..%2f..%2fetc")] == [HTTPStatus.NOT_FOUND] * 2


async def test_a_text_message_is_kept_once_per_key(mailbox: Mailbox, get: Callable) -> None:
    """In the shape of Twilio's call; the same key again gives the same message and keeps no other."""
    url = f"{mailbox.address}/2010-04-01/Accounts/AC1/Messages.json"
    sent = {"To": "+447700900123", "From": "SOMS", "Body": f"on its way {EVIL}"}
    async with aiohttp.ClientSession(headers={"Authorization": aiohttp.encode_basic_auth("AC1", "secret")}) as session:
        sids = []
        for key in ("a", "a", "b", None, None):
            async with session.post(url, data=sent, headers={"Idempotency-Key": key} if key else {}) as answer:
                assert answer.status == HTTPStatus.CREATED
                sids.append((await answer.json())["sid"])
        async with session.post(url, data=sent | {"Body": ""}) as empty, session.post(url.replace("AC1", "AC2"), data=sent) as other:
            assert [(one.status, (await one.json())["code"]) for one in (empty, other)] == [(400, 21604), (401, 20003)]
    kept = await (await get("/sms"))[1].json()

    assert sids[0] == sids[1]
    assert [one["sid"] for one in kept] == [*reversed(sids[1:])]
    assert (kept[0]["to"], kept[0]["from"], kept[0]["body"]) == tuple(sent.values())
    assert "on its way &lt;script&gt;" in (await get("/"))[2]


async def test_other_host_names_are_refused(get: Callable) -> None:
    """A web site that points its own name here learns nothing."""
    assert (await get("/messages", Host="evil.example"))[0] == HTTPStatus.MISDIRECTED_REQUEST
    assert (await get("/messages", Host="localhost"))[0] == HTTPStatus.OK


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no headers at all",
        b"Subject: =?nonsense?q?=ff?=\r\nContent-Type: text/plain; charset=nonsense\r\n\r\n\xff\xfe",
        b'Subject: \xff\r\nContent-Type: text/plain; charset="utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n%%%',
        b"Content-Type: multipart/mixed\r\n\r\nno boundary",
        b"To: =?utf-8?b?gA==?=\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nx",
    ],
)
def test_any_bytes_are_a_mail(tmp_path: Path, content: bytes) -> None:
    """What a sender got wrong never breaks the list."""
    mail.keep(tmp_path, content)
    assert len(mail.newest(tmp_path)) == 1


def test_the_newest_come_first(tmp_path: Path) -> None:
    """As people expect."""
    for subject in "abc":
        mail.keep(tmp_path, f"Subject: {subject}\n\n".encode())
    assert [one["subject"] for one in mail.newest(tmp_path)] == ["c", "b", "a"]
