"""HTTP that is ambiguous, endless or aims beside the API: what the running gateway answers to it."""

from typing import Any

import pytest

ID = "018f0000-0000-7000-8000-000000000001"
GET = ("GET /api/v1/products HTTP/1.1", "Host: soms")
CHUNKS = b"0\r\n\r\n"
AMBIGUOUS = {
    "two hosts": ((*GET, "Host: elsewhere"), b""),
    "no host": ((GET[0],), b""),
    "two lengths": ((*GET, "Content-Length: 2", "Content-Length: 3"), b"{}"),
    "two equal lengths": ((*GET, "Content-Length: 2", "Content-Length: 2"), b"{}"),
    "lengths in one line": ((*GET, "Content-Length: 2, 2"), b"{}"),
    "length and chunks": ((*GET, "Content-Length: 5", "Transfer-Encoding: chunked"), CHUNKS),
    "chunks and length": ((*GET, "Transfer-Encoding: chunked", "Content-Length: 5"), CHUNKS),
    "negative length": ((*GET, "Content-Length: -1"), b""),
    "signed length": ((*GET, "Content-Length: +2"), b"{}"),
    "length beyond numbers": ((*GET, "Content-Length: 9" + "9" * 30), b""),
    "two codings": ((*GET, "Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), CHUNKS),
    "unknown coding": ((*GET, "Transfer-Encoding: xchunked"), CHUNKS),
    "packed coding": ((*GET, "Transfer-Encoding: gzip, chunked"), CHUNKS),
    "chunks in HTTP/1.0": (("GET /api/v1/products HTTP/1.0", "Host: soms", "Transfer-Encoding: chunked"), CHUNKS),
    "coding with a space": ((*GET, "Transfer-Encoding : chunked"), CHUNKS),
    "space in a name": ((*GET, "X Odd: 1"), b""),
    "no colon": ((*GET, "X-Odd"), b""),
    "NUL in a value": ((*GET, "X-Odd: a\0b"), b""),
    "bare CR in a value": ((*GET, "X-Odd: a\rb"), b""),
    "folded line": ((*GET, "X-Odd: a\r\n b"), b""),
    "raw bytes in the path": (("GET /api/v1/products/ä HTTP/1.1", "Host: soms"), b""),
    "space in the path": (("GET /api/v1/ products HTTP/1.1", "Host: soms"), b""),
    "other protocol": (("\x16\x03\x01\x02\x00\x01\x00",), b""),
    "HTTP/2": (("PRI * HTTP/2.0",), b"SM\r\n\r\n"),
    "HTTP/3.7": (("GET / HTTP/3.7", "Host: soms"), b""),
}


@pytest.mark.parametrize("case", AMBIGUOUS)
async def test_ambiguous(wire: Any, case: str) -> None:
    """What two readers could read differently is read by none."""
    assert (await wire.raw(*AMBIGUOUS[case]))[:2] == (400, "invalid_parameter")


@pytest.mark.parametrize(
    "header", ["X: " + "a" * 65_536, "X: " + "a" * 20_000, "Authorization: Bearer " + "a" * 100_000, "Cookie: " + "a" * 17_000]
)
async def test_large_header(wire: Any, header: str) -> None:
    """More than 16 KiB of headers are too many."""
    assert (await wire.raw((*GET, header)))[:2] == (431, "headers_too_large")


async def test_many_headers(wire: Any) -> None:
    """Many headers are as bad as large ones: too many bytes, or more lines than the parser takes."""
    bytes_ = await wire.raw((*GET, *(f"X-{n}: {'a' * 1000}" for n in range(20))))
    lines = await wire.raw((*GET, *(f"X-{n}: a" for n in range(10_000))))

    assert (bytes_[:2], lines[:2]) == ((431, "headers_too_large"), (400, "invalid_parameter"))


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/orders/1", (404, "not_found")),
        ("/api/v1/orders/018f0000-0000-7000-8000-00000000000g", (404, "not_found")),
        ("/api/v1/orders/%2e%2e", (404, "not_found")),
        ("/api/v1/orders/%2e%2e%2fusers", (404, "not_found")),
        ("/api/v1/orders/..%2f..%2fetc%2fpasswd", (404, "not_found")),
        ("/api/v1/orders/%00", (404, "not_found")),
        ("/api/v1/orders/%ff", (404, "not_found")),
        ("/api/v1/orders/' or 1=1--", (400, "invalid_parameter")),
        ("/api/v1/orders/'%20or%201=1--", (404, "not_found")),
        ("/api/v1/products/%zz", (404, "not_found")),
        ("/api/v1/products/a%2fb", (404, "not_found")),
        ("/api/v1//orders", (404, "not_found")),
        ("/api/v1/orders/", (404, "not_found")),
        ("/api/v1/../../healthz", (404, "not_found")),
        ("/static/../gateway.py", (404, "not_found")),
        ("/static/%2e%2e/gateway.py", (404, "not_found")),
        ("/.git/config", (404, "not_found")),
        ("/" + "a" * 8192, (414, "uri_too_long")),
        ("/" + "a" * 65_536, (414, "uri_too_long")),
        ("/api/v1/products?q=" + "a" * 8192, (414, "uri_too_long")),
    ],
)
async def test_paths(wire: Any, path: str, expected: Any) -> None:
    """What names nothing is not found, whatever it tries to name."""
    assert (await wire.get(path))[:2] == expected


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=0",
        "limit=101",
        "limit=1000000000",
        "limit=1e2",
        "limit=",
        "limit=1&limit=2",
        "cursor=",
        "cursor=forged",
        "cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "cursor=" + "A" * 2000,
        "sort=password_hash",
        "user__is_admin=true",
        "status__in=placed",
        "status=' or 1=1--",
        "status=PLACED",
        "status=%00",
        "user_id=1",
        "from=yesterday",
        "from=2026-11-22",
        "from=99999-01-01T00:00:00Z",
        "from=2026-11-23T00:00:00Z&to=2026-11-22T00:00:00Z",
        "LIMIT=5",
        "limit[]=5",
        "access_token=x",
    ],
)
async def test_queries(wire: Any, query: str) -> None:
    """Nothing but the parameters that are named, once each and of their type, is understood."""
    assert (await wire.get(f"/api/v1/orders?{query.replace(' ', '%20')}"))[:2] == (400, "invalid_parameter")


async def test_cursors_are_for_one_list_and_one_account(stack: Any, wire: Any) -> None:
    """A cursor does not open another list, other filters or another's orders."""
    staff = await stack.client("hostile-staff@example.org", "staff")
    cursor = (await staff("GET", "products?limit=1")).body["next"]
    forged = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    elsewhere = [await staff("GET", f"{where}cursor={cursor}") for where in ("orders?", "products?limit=1&q=mug&", "users?")]

    assert (await staff("GET", f"products?limit=1&cursor={cursor}")).status == 200
    assert [(answer.status, answer.body["reason"]) for answer in elsewhere] == [(400, "invalid_parameter")] * 3
    assert (await staff("GET", f"products?limit=1&cursor={forged}")).status == 400


@pytest.mark.parametrize("method", ["TRACE", "DELETE", "PUT", "PROPFIND"])
async def test_methods(wire: Any, method: str) -> None:
    """A path does what it is for."""
    assert (await wire.get("/api/v1/orders", method=method))[:2] == (405, "method_not_allowed")


@pytest.mark.parametrize("method", ["get", "BREW", "G" * 65_536, "\0"])
async def test_made_up_methods(wire: Any, method: str) -> None:
    """What is no method of HTTP is no HTTP."""
    assert (await wire.get("/api/v1/orders", method=method))[:2] == (400, "invalid_parameter")


async def test_hosts_and_forwarding_are_not_believed(wire: Any) -> None:
    """Headers that name another host, scheme, path, method or caller change nothing."""
    plain = await wire.get("/api/v1/users/me")
    names = ("X-Forwarded-Host: evil", "X-Original-URL: /metrics", "X-HTTP-Method-Override: DELETE", "X-User-Id: 1", "X-Roles: admin")
    told = await wire.get("/api/v1/users/me", *names, "Forwarded: for=10.0.0.1;host=evil")

    assert (plain.status, told) == (200, plain)


async def test_two_authorizations(wire: Any) -> None:
    """With two tokens nobody knows which counts, even if they are equal; one in the query or a cookie does not."""
    twice = await wire.get("/api/v1/users/me", f"Authorization: Bearer {wire.token}")
    elsewhere = await wire.raw(
        [f"GET /api/v1/users/me?access_token={wire.token} HTTP/1.1", "Host: soms", f"Cookie: access_token={wire.token}"]
    )

    assert [reply[:2] for reply in (twice, elsewhere)] == [(401, "unauthenticated")] * 2
