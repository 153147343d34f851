"""The mailbox's process: SMTP in, files in a folder, HTTP out; loopback only.

Run as `python -m soms.local.mailbox_server FOLDER SMTP_PORT HTTP_PORT`.
"""

import asyncio
import html
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from aiosmtpd.smtp import SMTP, Envelope, Session

from soms.local import mail

ADDRESS = "127.0.0.1"
LARGEST_MAIL_BYTES = 10 << 20
STYLE = "body{font:16px sans-serif;max-width:60em;margin:2em auto}pre{white-space:pre-wrap;background:#f4f4f4;padding:1em}small{color:#555}"
POLICY = "default-src 'none'; style-src 'unsafe-inline'"


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


def application(folder: Path, smtp_port: int) -> web.Application:
    """Mail server and pages in one."""

    async def smtp(_app: web.Application) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        inbox = Inbox(folder)
        server = await loop.create_server(
            lambda: SMTP(inbox, loop=loop, data_size_limit=LARGEST_MAIL_BYTES, enable_SMTPUTF8=True), ADDRESS, smtp_port
        )
        async with server:
            yield

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=as_page(mail.newest(folder)), content_type="text/html", headers={"Content-Security-Policy": POLICY})

    async def messages(_request: web.Request) -> web.Response:
        return web.json_response(mail.newest(folder))

    async def texts(_request: web.Request) -> web.Response:
        return web.json_response([])

    app = web.Application(middlewares=[from_this_machine])
    app.cleanup_ctx.append(smtp)
    app.add_routes([web.get("/", page), web.get("/messages", messages), web.get("/sms", texts)])
    return app


@web.middleware
async def from_this_machine(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse other host names, so that no web site can have its own name point here and read the mails (DNS rebinding)."""
    if request.url.host not in {ADDRESS, "localhost"}:
        raise web.HTTPMisdirectedRequest
    return await handler(request)


def as_page(mails: list[dict[str, Any]]) -> str:
    """The list for people; whatever came in a mail is text, never markup."""
    items = "".join(
        f"<h2>{_safe(m['subject'] or '(no subject)')}</h2><small>{_safe(m['from'])} to {_safe(m['to'])}, {_safe(m['date'])}</small>"
        f"<pre>{_safe(m['text'] or m['html'] or '')}</pre>"
        for m in mails
    )
    head = f'<meta charset="utf-8"><title>Mailbox</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en">{head}<h1>Mailbox</h1>{items or "<p>No mail yet.</p>"}</html>'


def _safe(text: str) -> str:
    return html.escape(text)


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    folder, smtp_port, http_port = sys.argv[1:]
    web.run_app(application(Path(folder), int(smtp_port)), host=ADDRESS, port=int(http_port), print=None, access_log=None)


if __name__ == "__main__":
    main()
