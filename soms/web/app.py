"""The gateway as one aiohttp application: the nouns' routes below `/api/v1`, operations beside them, one middleware around all."""

from typing import Final

from aiohttp import web

from soms.web import (
    address,
    analytics,
    dashboard,
    notification,
    order,
    order_changes,
    order_entry,
    order_import,
    preference,
    product,
    session,
    stock,
    unsubscribe,
    user,
    webhook,
)
from soms.web.gateway import Gateway
from soms.web.metrics import Metrics
from soms.web.middleware import METRICS, guarded
from soms.web.operations import Handler, operations
from soms.web.readiness import Readiness
from soms.web.routes import PREFIX, Route

ROUTES: Final[tuple[Route, ...]] = (
    *session.ROUTES,
    *user.ROUTES,
    *address.ROUTES,
    *preference.ROUTES,
    *product.ROUTES,
    *stock.ROUTES,
    *order.ROUTES,
    *order_changes.ROUTES,
    *order_entry.ROUTES,
    *order_import.ROUTES,
    *webhook.ROUTES,
    *notification.ROUTES,
    *analytics.ROUTES,
)


def create_app(gateway: Gateway, readiness: Readiness) -> web.Application:
    """The application over `gateway`; it owns nothing that would have to be closed."""
    app = web.Application(middlewares=[guarded])
    app[METRICS] = Metrics()
    app[METRICS].watch_streams(gateway.streams.count)
    for route in ROUTES:
        _add(app, route.method, PREFIX + route.path, _endpoint(gateway, route))
    for path, handler in operations(readiness, app[METRICS], gateway.verifier.jwks, ROUTES).items():
        _add(app, "GET", path, handler)
    for method, handler in unsubscribe.pages(gateway.optouts, gateway.services).items():
        _add(app, method, unsubscribe.ROUTE, handler)
    for method, handler in dashboard.session(gateway).items():
        _add(app, method, dashboard.SESSION, handler)
    app.on_shutdown.append(gateway.streams.end)
    return app


def _add(app: web.Application, method: str, path: str, handler: Handler) -> None:
    # a SKU may have braces, which the default pattern of a variable part leaves out
    pattern = path.replace("{id}", f"{{id:{_ids(path)}[^/]+}}").replace("{sku}", "{sku:[^/]+}")
    for name in ("GET", "HEAD") if method == "GET" else (method,):
        app.router.add_route(name, pattern, handler, expect_handler=_wait)


def _ids(path: str) -> str:
    """What keeps a path that ends in an id from standing for its neighbours with names, such as /orders/import."""
    parent, _, last = (path.removeprefix(PREFIX)).rpartition("/")
    names = {route.path.rpartition("/")[2] for route in ROUTES if route.path.rpartition("/")[0] == parent} - {last}
    return f"(?!(?:{'|'.join(sorted(names))})$)" if names and last == "{id}" else ""


def _endpoint(gateway: Gateway, route: Route) -> Handler:
    async def endpoint(request: web.Request) -> web.StreamResponse:
        return await gateway.serve(route, request)

    return endpoint


async def _wait(_: web.Request) -> None:
    """Leave a body that waits to be asked for (`Expect: 100-continue`) waiting: `body` asks when all else is in order."""
