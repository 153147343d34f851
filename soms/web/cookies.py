"""The cookies of the dashboard: never for scripts, never from other sites, each for one part of the paths (RFC 6265bis).

Named after the port, which cookies would not tell apart: several stacks on one machine keep their own sessions.
"""

from typing import Final

from aiohttp import web

SESSION_PATH: Final = "/dashboard/session"
ACCESS_PATH: Final = "/api/v1/analytics"
SESSION_SECONDS: Final = 30 * 86_400
OWN_SITES: Final = frozenset({"same-origin", "none"})


def access_token(request: web.Request) -> str | None:
    """The access token for figures; None from a page that is not ours."""
    if request.headers.get("Sec-Fetch-Site", "none") not in OWN_SITES:
        return None
    return request.cookies.get(_access(request)) or None


def refresh_token(request: web.Request) -> str | None:
    """The refresh token of the dashboard's session; None from a page that is not ours."""
    if request.headers.get("Sec-Fetch-Site", "none") not in OWN_SITES:
        return None
    return request.cookies.get(_refresh(request)) or None


def keep(request: web.Request, response: web.Response, access: str, expires_in: int, refresh: str) -> None:
    """Have the browser keep a session."""
    secure = request.secure or request.headers.get("X-Forwarded-Proto") == "https"
    for name, value, path, seconds in (
        (_access(request), access, ACCESS_PATH, expires_in),
        (_refresh(request), refresh, SESSION_PATH, SESSION_SECONDS),
    ):
        response.set_cookie(name, value, path=path, max_age=seconds, secure=secure, httponly=True, samesite="Strict")


def forget(request: web.Request, response: web.Response) -> None:
    """Have the browser forget it."""
    for name, path in ((_access(request), ACCESS_PATH), (_refresh(request), SESSION_PATH)):
        response.del_cookie(name, path=path, httponly=True, samesite="Strict")


def _access(request: web.Request) -> str:
    return f"soms_access_{request.url.port}"


def _refresh(request: web.Request) -> str:
    return f"soms_refresh_{request.url.port}"
