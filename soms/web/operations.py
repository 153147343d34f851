"""Routes beside the API, for machines that run SOMS and people who explore it: health, metrics, keys, the OpenAPI document, its page."""

import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from importlib.resources import files
from typing import Any, Final

import orjson
from aiohttp import web

from soms.web import openapi
from soms.web.metrics import Metrics
from soms.web.readiness import Readiness
from soms.web.routes import Route

PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
MEDIA_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
SCRIPTS: Final = ("main", "live", "history", "lists", "chart", "dom", "format", "session")
PAGES: Final = {
    "/docs": "docs.html",
    "/static/docs.css": "docs.css",
    "/static/docs.js": "docs.js",
    "/dashboard": "dashboard/index.html",
    **{f"/static/dashboard/{name}": f"dashboard/{name}" for name in ("style.css", "icon.svg", *(f"{script}.js" for script in SCRIPTS))},
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def operations(
    readiness: Readiness, metrics: Metrics, key_set: Callable[[], dict[str, Any]], routes: Iterable[Route]
) -> dict[str, Handler]:
    """Handlers by path, all for GET."""
    description = _description(tuple(routes))

    async def alive(_: web.Request) -> web.Response:
        return _json({"status": "alive"})

    async def ready(_: web.Request) -> web.Response:
        states = await readiness.states()
        all_there = all(states.values())
        told = {name: "ready" if there else "away" for name, there in states.items()}
        return _json({"status": "ready" if all_there else "not ready", "dependencies": told}, status=200 if all_there else 503)

    async def figures(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def keys(_: web.Request) -> web.Response:
        return _json(key_set(), headers={"Cache-Control": "public, max-age=300"})

    async def described(_: web.Request) -> web.Response:
        return web.Response(body=description, headers={"Content-Type": "application/json", "Cache-Control": "no-cache"})

    named = {"/healthz": alive, "/readyz": ready, "/metrics": figures, "/.well-known/jwks.json": keys, "/openapi.json": described}
    return named | {path: _page(name) for path, name in PAGES.items()}


@functools.lru_cache(maxsize=1)
def _description(routes: tuple[Route, ...]) -> bytes:
    return orjson.dumps(openapi.document(routes))


def _page(name: str) -> Handler:
    content, media_type = (files("soms.web") / "static" / name).read_bytes(), MEDIA_TYPES[name.rpartition(".")[2]]

    async def page(_: web.Request) -> web.Response:
        headers = {"Content-Type": media_type, "Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache"}
        return web.Response(body=content, headers=headers)

    return page


def _json(value: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), headers={"Content-Type": "application/json", **(headers or {})})
