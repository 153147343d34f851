"""The page behind a mail's link that stops such mails: it asks once more, for programs follow links; a POST is an answer (RFC 8058)."""

import html
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from soms.errors import NotFound
from soms.logging import get_request_id
from soms.optout import PATH, OptOut, OptOuts
from soms.rpc import context
from soms.rpc.client import Services
from soms.rpc.gen.soms import v1

SECONDS: Final = 2.0
ROUTE: Final = PATH + "{token}"
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
STYLE: Final = (
    ":root{color-scheme:light dark}"
    "body{font:18px/1.5 system-ui,sans-serif;max-width:32em;margin:4em auto;padding:0 1em}"
    "button{font:inherit}"
)
WORDS: Final = {"email": "mails", "sms": "text messages"}
MORE: Final = "What else you want to hear from us, how and when, is among the preferences of your account."
Handler = Callable[[web.Request], Awaitable[web.Response]]


def pages(optouts: OptOuts, services: Services) -> Mapping[str, Handler]:
    """Handlers by method, all for `ROUTE`; links that are not ours raise NotFound."""

    async def ask(request: web.Request) -> web.Response:
        what = _what(optouts.read(request.match_info["token"]))
        return _page(f"<h1>Stop {what}?</h1><form method=post><button>Stop {what} about my orders</button></form>")

    async def stop(request: web.Request) -> web.Response:
        wish = optouts.read(request.match_info["token"])
        what = _what(wish)
        with context.calling(context.Call(deadline=time.monotonic() + SECONDS, request_id=get_request_id())):
            await services.as_service.users.stop_channel(v1.StopChannelRequest(str(wish.user_id), wish.channel))
        return _page(f"<h1>No more {what}</h1><p>We send you no more {what} about your orders. {html.escape(MORE)}</p>")

    return {"GET": ask, "POST": stop}


def _what(wish: OptOut) -> str:
    if wish.channel not in WORDS:
        raise NotFound
    return WORDS[wish.channel]


def _page(body: str) -> web.Response:
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Preferences</title><style>{STYLE}</style>'
    text = f'<!doctype html><html lang="en"><head>{head}</head><body>{body}</body></html>'
    return web.Response(text=text, content_type="text/html", headers={"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"})
