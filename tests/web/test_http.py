"""HTTP itself: paths and methods nobody knows, heads out of bounds, ids of requests, headers of answers, faults of ours."""

import logging
from typing import Any

import pytest

from soms.errors import DeadlineExceeded, SomsError, Unavailable

ID = "018f0000-0000-7000-8000-000000000001"


@pytest.mark.parametrize(
    "path", ["//", "//api", "//api/v1", "/nothing", "/orders/", f"/orders/{ID}/nothing", "/Orders", "//robots.txt", "/%00"]
)
async def test_unknown_paths_are_problems(client: Any, path: str) -> None:
    """What is not there is told like everything else that is not there."""
    assert (await client("GET", path)).problem == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/orders", "GET, HEAD, OPTIONS, POST"),
        ("POST", "/users/me", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("GET", f"/orders/{ID}/cancel", "OPTIONS, POST"),
        ("PUT", "/products/TEA", "GET, HEAD, OPTIONS, PATCH"),
        ("TRACE", "//healthz", "GET, HEAD, OPTIONS"),
        ("PROPFIND", "/products", "GET, HEAD, OPTIONS, POST"),
    ],
)
async def test_unknown_methods_are_problems(client: Any, method: str, path: str, allow: str) -> None:
    """A path tells what it takes."""
    reply = await client(method, path)

    assert reply.problem == (405, "method_not_allowed")
    assert reply.headers["Allow"] == allow


async def test_options_tell_methods(client: Any) -> None:
    """OPTIONS needs no token and changes nothing; pages of other sites are not invited."""
    reply = await client("OPTIONS", "/orders", headers={"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"})

    assert (reply.status, reply.headers["Allow"], reply.body) == (204, "GET, HEAD, OPTIONS, POST", b"")
    assert [name for name in reply.headers if name.lower().startswith("access-control")] == []


async def test_head_is_get_without_the_body(client: Any) -> None:
    """The headers are those of GET."""
    got, head = await client("GET", "/products/TEA"), await client("HEAD", "/products/TEA")

    assert (head.status, head.body) == (200, b"")
    assert {name: head.headers[name] for name in ("ETag", "Content-Type", "Content-Length")} == {
        name: got.headers[name] for name in ("ETag", "Content-Type", "Content-Length")
    }


async def test_long_addresses_are_refused(client: Any) -> None:
    """8 KiB are enough for any address."""
    assert (await client("GET", f"/orders/{'x' * 8192}")).problem == (414, "uri_too_long")
    assert (await client("GET", f"/products?q={'x' * 8192}")).problem == (414, "uri_too_long")


@pytest.mark.parametrize("headers", [{"X-Filler": "x" * 17_000}, {f"X-Filler-{n}": "x" * 2_000 for n in range(10)}])
async def test_large_heads_are_refused(client: Any, headers: Any) -> None:
    """16 KiB are enough for all headers."""
    assert (await client("GET", "/products", headers=headers)).problem == (431, "headers_too_large")


async def test_huge_lines_are_refused_by_the_parser(raw: Any) -> None:
    """What the parser gives up on is a problem with an id, too."""
    header = await raw("GET /healthz", f"X-Filler: {'x' * 100_000}")
    address = await raw(f"GET /{'x' * 100_000}")

    assert b" 431 " in header.partition(b"\r\n")[0]
    assert b" 414 " in address.partition(b"\r\n")[0]
    assert b"X-Request-I" in header
    assert b'"reason":"headers_too_large"' in header
    assert b'"reason":"uri_too_long"' in address


BROKEN = {
    "two hosts": ("Host: elsewhere",),
    "two lengths": ("Content-Length: 2", "Content-Length: 3"),
    "length and chunks": ("Content-Length: 2", "Transfer-Encoding: chunked"),
    "odd length": ("Content-Length: -1",),
    "space before the colon": ("X-Odd : 1",),
    "control in a value": ("X-Odd: a\x01b",),
    "folded line": ("X-Odd: a\r\n b",),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_ambiguous_heads_are_refused(raw: Any, services: Any, case: str) -> None:
    """What two parsers could read differently is not read at all."""
    answer = await raw("GET /api/v1/products", *BROKEN[case], "Connection: close")

    assert b" 400 " in answer.partition(b"\r\n")[0]
    assert services.products.calls == []


@pytest.mark.parametrize("sent", ["mine-1", "018f:a.b_c~d", "x" * 64])
async def test_a_request_keeps_its_id(client: Any, sent: str) -> None:
    """The client's own id comes back and stands in problems."""
    fine = await client("GET", "/products", headers={"X-Request-Id": sent})
    refused = await client("GET", "/orders", headers={"X-Request-Id": sent})

    assert fine.headers["X-Request-Id"] == refused.headers["X-Request-Id"] == refused.json["request_id"] == sent


@pytest.mark.parametrize("sent", ["", "x" * 65, "a b", "a\tb", "<b>", "ä", '"', "a;b"])
async def test_an_odd_id_is_replaced(client: Any, sent: str) -> None:
    """What does not belong into logs and headers is not taken up."""
    reply = await client("GET", "/products", headers={"X-Request-Id": sent})

    assert len(reply.headers["X-Request-Id"]) == 32


@pytest.mark.parametrize("path", ["/products", "/orders", "/nothing", "//healthz", "//readyz", "//metrics", "//openapi.json", "//docs"])
async def test_answers_are_safe_to_show(client: Any, path: str) -> None:
    """Every answer has an id and is taken for what it says it is; none tells what we are made of."""
    headers = (await client("GET", path)).headers

    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Server"] == "SOMS"
    assert len(headers["X-Request-Id"]) == 32
    assert "Cache-Control" in headers


async def test_tokens_are_not_kept_by_caches(client: Any) -> None:
    """Answers of the API are for the caller alone."""
    reply = await client("POST", "/auth/login", json={"email": "ada@example.com", "password": "correct horse"})

    assert reply.status == 200
    assert reply.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("error", [RuntimeError("secret at /here"), SomsError("secret"), TimeoutError("secret"), KeyError("secret")])
async def test_faults_show_nothing_of_our_insides(client: Any, services: Any, error: Exception) -> None:
    """Whatever breaks is a 500 that says nothing but its id."""
    services.products.answers["list_products"] = error
    reply = await client("GET", "/products")

    assert reply.problem == (500, "internal")
    assert b"secret" not in reply.body


async def test_faults_are_logged_with_their_id(client: Any, services: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The traceback is in the log."""
    services.products.answers["list_products"] = RuntimeError("secret")
    with caplog.at_level(logging.ERROR):
        await client("GET", "/products")

    assert "RuntimeError: secret" in caplog.text


@pytest.mark.parametrize("error", [Unavailable("no route to 127.0.0.1:4711"), DeadlineExceeded("127.0.0.1:4711 is silent")])
async def test_a_service_away_is_told_without_its_address(client: Any, services: Any, error: Exception) -> None:
    """503, when to come back, and nothing else."""
    services.products.answers["list_products"] = error
    reply = await client("GET", "/products")

    assert reply.problem == (503, "unavailable")
    assert reply.headers["Retry-After"] == "1"
    assert b"4711" not in reply.body


async def test_an_incomplete_answer_of_a_service_is_our_fault(client: Any, services: Any) -> None:
    """A message without its product is a 500, not half an answer."""
    services.products.answers["get_product"].product = None

    assert (await client("GET", "/products/TEA")).problem == (500, "internal")
