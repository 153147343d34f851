"""The session of the page /dashboard: its refresh token lives in a cookie that no script sees, its access token in the page.

The three methods of one path answer our own page alone: what other sites can make a browser send, they refuse.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final

import orjson
from aiohttp import web
from pydantic import StringConstraints, TypeAdapter
from typing_extensions import TypedDict

from soms.errors import InvalidArgument, PermissionDenied, Unauthenticated
from soms.logging import get_request_id
from soms.rpc import context
from soms.rpc.gen.soms import v1
from soms.values import Email
from soms.web import body, cookies
from soms.web.auth import Access, rank
from soms.web.gateway import Gateway
from soms.web.shapes import given, shape
from soms.web.validation import checked

SESSION: Final = cookies.SESSION_PATH
SECONDS: Final = 5.0
Handler = Callable[[web.Request], Awaitable[web.Response]]


@shape({"email": "ada@example.com", "password": "correct horse battery"})
class SignIn(TypedDict):
    """What the form of the page sends."""

    email: Email
    password: Annotated[str, StringConstraints(min_length=1, max_length=256)]


SIGN_IN: Final[TypeAdapter[Any]] = TypeAdapter(SignIn)


def session(gateway: Gateway) -> Mapping[str, Handler]:
    """Handlers by method, all for `SESSION`: POST signs in, PUT renews what the cookie holds, DELETE signs out."""
    users = gateway.services.users

    async def sign_in(request: web.Request) -> web.Response:
        _begin(gateway, request)
        asked = checked(SIGN_IN, await body.read(request, gateway.arriving, optional=False))
        tokens = given((await users.login(v1.LoginRequest(**asked, client_address=request.remote or ""))).tokens)
        if rank(gateway.verifier.verify(tokens.access_token)) < Access.STAFF:
            await users.logout(v1.LogoutRequest(refresh_token=tokens.refresh_token))
            raise PermissionDenied("the dashboard takes the role staff")
        return _signed_in(gateway, request, tokens)

    async def renew(request: web.Request) -> web.Response:
        _begin(gateway, request)
        if (token := cookies.refresh_token(request)) is None:
            return web.Response(status=204)
        try:
            answer = await users.refresh_token(v1.RefreshTokenRequest(refresh_token=token))
        except (Unauthenticated, InvalidArgument):
            return _signed_out(request)
        return _signed_in(gateway, request, given(answer.tokens))

    async def sign_out(request: web.Request) -> web.Response:
        _begin(gateway, request)
        if (token := cookies.refresh_token(request)) is not None:
            await users.logout(v1.LogoutRequest(refresh_token=token))
        return _signed_out(request)

    return {"POST": sign_in, "PUT": renew, "DELETE": sign_out}


def _begin(gateway: Gateway, request: web.Request) -> None:
    gateway.count_address(request)
    context.begin(context.Call(time.monotonic() + SECONDS, request_id=get_request_id(), client_address=request.remote))


def _signed_in(gateway: Gateway, request: web.Request, tokens: v1.Tokens) -> web.Response:
    identity = gateway.verifier.verify(tokens.access_token)
    document = {
        "access_token": tokens.access_token,
        "expires_in": tokens.expires_in,
        "email": identity.email,
        "time_zone": gateway.time_zone,
    }
    response = web.Response(body=orjson.dumps(document), content_type="application/json")
    cookies.keep(request, response, tokens.access_token, tokens.expires_in, tokens.refresh_token)
    return response


def _signed_out(request: web.Request) -> web.Response:
    response = web.Response(status=204)
    cookies.forget(request, response)
    return response
