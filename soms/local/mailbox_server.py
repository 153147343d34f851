"""The mailbox's process: SMTP and a provider's text messages in, files in a folder, HTTP out.

Run as `python -m soms.local.mailbox_server FOLDER SMTP_PORT HTTP_PORT`: loopback only. With `ADDRESS NAME` behind that it listens
there, as a container must, and answers to that host name, too.
"""

import asyncio
import base64
import sys
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from aiosmtpd.smtp import SMTP, Envelope, Session

from soms.local import mail, mailbox_pages, sms

ADDRESS = "127.0.0.1"
LARGEST_MAIL_BYTES = 10 << 20
LONGEST_TEXT = 1600


class Inbox:
    """Takes every mail for everybody."""

    def __init__(self, folder: Path) -> None:
        """Keep mails in `folder`."""
        self._folder = folder

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 aiosmtpd's name
        """Keep the mail under the envelope it came in (RFC 5321: Return-Path; Delivered-To)."""
        receivers = "".join(f"Delivered-To: {receiver}\r\n" for receiver in envelope.rcpt_tos)
        content = envelope.original_content or b""
        mail.keep(self._folder, f"Return-Path: <{envelope.mail_from}>\r\n{receivers}".encode() + content)
        return "250 OK"


class Pages:
    """What is answered over HTTP."""

    def __init__(self, folder: Path) -> None:
        """Show and keep what is in `folder`."""
        self._folder = folder

    def routes(self) -> list[web.RouteDef]:
        """Pages for people, lists for machines, and the provider of text messages."""
        return [
            web.get("/", self.index),
            web.get("/mails/{id}", self.mail),
            web.get("/mails/{id}/html", self.content),
            web.get("/messages", self.messages),
            web.get("/sms", self.texts),
            web.post("/2010-04-01/Accounts/{account}/Messages.json", self.send),
        ]

    async def index(self, _: web.Request) -> web.Response:
        """The list for people."""
        return _page(mailbox_pages.index(mail.newest(self._folder), sms.newest(self._folder)), mailbox_pages.POLICY)

    async def mail(self, request: web.Request) -> web.Response:
        """A mail for people."""
        return _page(mailbox_pages.mail(self._found(request), request.query.get("part", "")), mailbox_pages.POLICY)

    async def content(self, request: web.Request) -> web.Response:
        """The HTML of a mail as it came, in a sandbox."""
        return _page(self._found(request)["html"] or "", mailbox_pages.MAIL_POLICY)

    async def messages(self, _: web.Request) -> web.Response:
        """The mails for machines."""
        return web.json_response(mail.newest(self._folder))

    async def texts(self, _: web.Request) -> web.Response:
        """The text messages for machines."""
        return web.json_response(sms.newest(self._folder))

    async def send(self, request: web.Request) -> web.Response:
        """Take a text message as Twilio does (its Messages resource); with an Idempotency-Key each once."""
        account, form = request.match_info["account"], await request.post()
        if not _signed_in(request, account):
            return _refused(HTTPStatus.UNAUTHORIZED, 20003, "Authenticate")
        to, sender, body = (str(form.get(name, "")) for name in ("To", "From", "Body"))
        if not to or not sender or not 0 < len(body) <= LONGEST_TEXT:
            return _refused(HTTPStatus.BAD_REQUEST, 21604, "To, From and Body are required, Body with at most 1600 characters")
        message = sms.keep(self._folder, account, request.headers.get("Idempotency-Key", ""), to=to, sender=sender, body=body)
        return web.json_response(message, status=HTTPStatus.CREATED)

    def _found(self, request: web.Request) -> dict[str, Any]:
        """The mail of the path; its id is a name in our folder, or none."""
        one = next((one for one in mail.newest(self._folder) if one["id"] == request.match_info["id"]), None)
        if one is None:
            raise web.HTTPNotFound
        return one


def application(folder: Path, smtp_port: int, address: str = ADDRESS, name: str = "localhost") -> web.Application:
    """Mail server and pages in one; others reach it as `name`."""

    async def smtp(_app: web.Application) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        inbox = Inbox(folder)
        server = await loop.create_server(
            lambda: SMTP(inbox, loop=loop, data_size_limit=LARGEST_MAIL_BYTES, enable_SMTPUTF8=True),
            address,
            smtp_port,
        )
        async with server:
            yield

    app = web.Application(middlewares=[asked_as(ADDRESS, "localhost", name)])
    app.cleanup_ctx.append(smtp)
    app.add_routes(Pages(folder).routes())
    return app


def asked_as(*names: str) -> Middleware:
    """Refuses other host names, so that no web site can have its own name point here and read the mails (DNS rebinding)."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.url.host not in names:
            raise web.HTTPMisdirectedRequest
        return await handler(request)

    return middleware


def _page(text: str, policy: str) -> web.Response:
    return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": policy})


def _signed_in(request: web.Request, account: str) -> bool:
    """Whether the caller names the account and some password: here, any will do."""
    scheme, _, login = request.headers.get("Authorization", "").partition(" ")
    try:
        user, _, password = base64.b64decode(login, validate=True).decode().partition(":")
    except ValueError:
        return False
    return scheme.lower() == "basic" and user == account and bool(password)


def _refused(status: HTTPStatus, code: int, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message, "status": status}, status=status)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    folder, smtp_port, http_port, *beyond = sys.argv[1:]
    address, name = beyond or (ADDRESS, "localhost")
    app = application(Path(folder), int(smtp_port), address, name)
    web.run_app(app, host=address, port=int(http_port), print=None, access_log=None)


if __name__ == "__main__":
    main()
