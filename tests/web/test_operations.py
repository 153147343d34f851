"""Routes beside the API: health, readiness, metrics, keys, pages."""

from typing import Any

import pytest

from soms.config import Settings
from soms.tokens import Signer
from soms.web.operations import PAGES
from soms.web.readiness import KEPT_SECONDS, Readiness


async def test_alive(client: Any) -> None:
    """A process that answers is alive."""
    reply = await client("GET", "//healthz")

    assert (reply.status, reply.json) == (200, {"status": "alive"})


async def test_ready_when_all_are_there(client: Any) -> None:
    """Each dependency is named."""
    reply = await client("GET", "//readyz")

    assert reply.status == 200
    assert reply.json == {"status": "ready", "dependencies": {"user": "ready", "product": "ready", "order": "ready"}}


async def test_not_ready_when_one_is_away(client: Any, states: dict[str, bool]) -> None:
    """503, and which one it is."""
    states["order"] = False
    reply = await client("GET", "//readyz")

    assert reply.status == 503
    assert reply.json["dependencies"] == {"user": "ready", "product": "ready", "order": "away"}


async def test_readiness_is_asked_for_once_a_second() -> None:
    """However often we are asked, dependencies are asked once in a while."""
    asked = []

    async def probe() -> bool:
        asked.append(1)
        return True

    readiness = Readiness({"order": probe})
    for _ in range(10):
        await readiness.states()
    readiness._since -= 2 * KEPT_SECONDS
    await readiness.states()

    assert len(asked) == 2


async def test_metrics_count_requests_by_route(client: Any) -> None:
    """Ids do not become labels, and neither do methods and paths that strangers make up."""
    await client("GET", "/products/TEA")
    await client("GET", "/orders/whatever")
    await client("PROPFIND", "/made/up")
    text = (await client("GET", "//metrics")).body.decode()

    assert 'soms_http_requests_total{method="GET",route="/api/v1/products/{sku}",status="200"} 1.0' in text
    assert 'soms_http_requests_total{method="GET",route="/api/v1/orders/{id}",status="401"} 1.0' in text
    assert 'soms_http_requests_total{method="other",route="unknown",status="404"} 1.0' in text
    assert 'soms_http_request_seconds_count{route="/api/v1/products/{sku}"} 1.0' in text


async def test_keys_are_public(client: Any, gateway_settings: Settings) -> None:
    """The key set of RFC 7517, empty before the user service has made one."""
    before = (await client("GET", "//.well-known/jwks.json")).json
    Signer(gateway_settings)
    after = (await client("GET", "//.well-known/jwks.json")).json

    assert before == {"keys": []}
    assert [key["kty"] for key in after["keys"]] == ["OKP"]
    assert all("d" not in key for key in after["keys"])


@pytest.mark.parametrize("path", [f"/{path}" for path in PAGES])
async def test_pages_run_nothing_but_their_own(client: Any, path: str) -> None:
    """No page may load or run what is not ours; none carries script in its markup."""
    reply = await client("GET", path)

    assert reply.status == 200
    assert "default-src 'none'; script-src 'self'" in reply.headers["Content-Security-Policy"]
    assert "unsafe" not in reply.headers["Content-Security-Policy"]
    assert b"innerHTML" not in reply.body
    assert b"://" not in reply.body.replace(b"http://www.w3.org/2000/svg", b"")


@pytest.mark.parametrize(
    "path",
    [
        "//static/docs.html",
        "//static/dashboard/index.html",
        "//static/dashboard/",
        "//static/",
        "//static/..%2fapp.py",
        "//static/../app.py",
    ],
)
async def test_no_other_file_is_served(client: Any, path: str) -> None:
    """Pages are a list, not a folder."""
    assert (await client("GET", path)).problem == (404, "not_found")
