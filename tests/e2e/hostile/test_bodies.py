"""Bodies that do not parse, are too large, never come, or cannot be meant: the exact refusal of each, on the running gateway."""

import asyncio
import gzip
from typing import Any

import pytest

SKU = "MUG-BLUE"
LINE = {"sku": SKU, "quantity": 1}
GOOD = {"lines": [LINE]}
MALFORMED = {
    "nothing": b"",
    "truncated": b'{"lines": [{"sku": "MUG-BLUE", "quan',
    "10,000 lists deep": b"[" * 10_000,
    "10,000 objects deep": b'{"a":' * 10_000,
    "NaN": b'{"lines": [{"sku": "MUG-BLUE", "quantity": NaN}]}',
    "infinity": b'{"lines": [{"sku": "MUG-BLUE", "quantity": Infinity}]}',
    "beyond floats": b'{"lines": [{"sku": "MUG-BLUE", "quantity": 1e400}]}',
    "5,000 digits": b'{"lines": [{"sku": "MUG-BLUE", "quantity": ' + b"9" * 5_000 + b"}]}",
    "doubled key": b'{"lines": [{"sku": "MUG-BLUE", "quantity": 1, "quantity": 2}]}',
    "doubled key by escape": b'{"lines": [{"sku": "MUG-BLUE", "quantity": 1, "quantit\\u0079": 2}]}',
    "lone surrogate": b'{"lines": [{"sku": "MUG-BLUE", "quantity": 1}], "note": "\\udead"}',
    "NUL": b'{"lines": [{"sku": "MUG-BLUE", "quantity": 1}], "note": "a\\u0000b"}',
    "raw NUL": b'{"lines": [{"sku": "MUG-BLUE", "quantity": 1}], "note": "a\0b"}',
    "not UTF-8": b'{"note": "\xff"}',
    "UTF-16": '{"lines": []}'.encode("utf-16"),
    "two values": b'{"lines": []}{"lines": []}',
    "XML": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "form": b"lines[0][sku]=MUG-BLUE",
}
WRONG = {
    **{
        f"quantity {value!r}": {"lines": [{"sku": SKU, "quantity": value}]} for value in (0, -1, 1.5, "1", True, None, [], {}, 2**31, 2**63)
    },
    "1,000,001 pieces": {"lines": [{"sku": SKU, "quantity": 1_000_001}]},
    "1,000,001 pieces in all": {"lines": [{"sku": SKU, "quantity": 1_000_000}, LINE]},
    "no line": {"lines": []},
    "1,001 lines": {"lines": [LINE] * 1001},
    "lines as text": {"lines": "MUG-BLUE"},
    "list": [GOOD],
    "null": None,
    "script as country": GOOD | {"shipping_address": {"name": "A", "line1": "B", "city": "C", "country": "<script>"}},
    "line break in a name": GOOD | {"shipping_address": {"name": "A\r\nBcc: x", "line1": "B", "city": "C", "country": "GB"}},
    "2,001 characters of note": GOOD | {"note": "x" * 2001},
    **{f"SKU {sku!r}": {"lines": [{"sku": sku, "quantity": 1}]} for sku in ("", "..", "a/b", " a", "ä", "x" * 65, "a\n")},
}
ASSIGNED = {"price": 1, "total": 1, "status": "paid", "user_id": "018f0000-0000-7000-8000-000000000001", "role": "admin", "currency": "USD"}


@pytest.mark.parametrize("case", MALFORMED)
async def test_malformed(wire: Any, case: str) -> None:
    """What is no JSON, or JSON that readers understand differently, is 400."""
    assert (await wire.post("/orders", MALFORMED[case]))[:2] == (400, "malformed_body")


@pytest.mark.parametrize("case", WRONG)
async def test_wrong(wire: Any, case: str) -> None:
    """Sound JSON that cannot be meant is 422 and names the fields."""
    reply = await wire.post("/orders", WRONG[case])

    assert reply[:2] == (422, "validation_failed")
    assert 0 < len(reply.body["errors"]) <= 100


@pytest.mark.parametrize("field", ASSIGNED)
async def test_mass_assignment(wire: Any, field: str) -> None:
    """What is not the client's to say is an unknown field, of an order and of a line."""
    order = await wire.post("/orders", GOOD | {field: ASSIGNED[field]})
    line = await wire.post("/orders", {"lines": [LINE | {field: ASSIGNED[field]}]})

    assert (order[:2], order.fields) == ((422, "validation_failed"), {field: "unknown_field"})
    assert (line[:2], line.fields) == ((422, "validation_failed"), {f"lines[0].{field}": "unknown_field"})


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/users/me", {"name": "A", "roles": ["admin"]}),
        ("PATCH", "/users/me", {"email": "admin@soms.localhost"}),
        ("PATCH", "/users/me", {"id": "018f0000-0000-7000-8000-000000000001"}),
        ("POST", "/auth/register", {"email": "m@example.org", "password": "correct horse", "name": "M", "roles": ["admin"]}),
        ("POST", "/users/me/addresses", {"name": "A", "line1": "B", "city": "C", "country": "GB", "user_id": "x"}),
    ],
)
async def test_nobody_promotes_himself(wire: Any, method: str, path: str, body: Any) -> None:
    """Roles, ids and owners are read-only everywhere."""
    reply = await wire.post(path, body, method=method)

    assert reply[:2] == (422, "validation_failed")
    assert set(reply.fields.values()) == {"unknown_field"}


async def test_prototypes_are_names_like_others(wire: Any) -> None:
    """Names that mean something to some language are unknown fields, too."""
    reply = await wire.post("/orders", GOOD | {"__proto__": {"role": "admin"}, "constructor": 1, "__class__": "x", "$where": "1"})

    assert set(reply.fields.values()) == {"unknown_field"}


async def test_equal_skus_are_one_line(wire: Any) -> None:
    """The same SKU on two lines is counted together before anything else looks at it."""
    reply = await wire.post("/orders", {"lines": [LINE, LINE | {"quantity": 2}]})

    assert reply.status == 201
    assert [(line["sku"], line["quantity"]) for line in reply.body["lines"]] == [(SKU, 3)]


@pytest.mark.parametrize(
    "header",
    [
        "Content-Type: text/plain",
        "Content-Type: application/xml",
        "Content-Type: application/json; charset=utf-16",
        "Content-Type: multipart/form-data; boundary=x",
        "Content-Type: ",
        "Content-Encoding: gzip",
        "Content-Encoding: br",
    ],
)
async def test_other_types(wire: Any, header: str) -> None:
    """Nothing but plain application/json is read; a bomb stays packed."""
    body = gzip.compress(b" " * 100_000_000) if "Encoding" in header else b'{"lines": []}'

    assert (await wire.post("/orders", body, header))[:2] == (415, "unsupported_media_type")


async def test_ten_megabytes(wire: Any) -> None:
    """A body too large is refused by what it says of itself, or by what has come of it."""
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    told = await wire.post("/orders", b"", "Content-Length: 10000000", then=[b" " * 65_536] * 150)
    endless = await wire.post("/orders", b"", "Transfer-Encoding: chunked", then=[chunk] * 1000)
    crumbs = await wire.post("/orders", b"", "Transfer-Encoding: chunked", then=[b"1\r\n \r\n" * 1000] * 300)
    invited = await wire.post("/orders", b"", "Content-Length: 10000000", "Expect: 100-continue")

    assert {reply[:2] for reply in (told, endless, crumbs, invited)} == {(413, "too_large")}


@pytest.mark.parametrize("rest", [b"zz\r\n", b"-1\r\n", b"F" * 40, b"1\r\n{}", b"2\r\n{}\r\n0\r\n" + b"X-Odd: 1\r\n" * 1000])
async def test_framing_that_breaks_off(wire: Any, rest: bytes) -> None:
    """A body whose framing breaks while it is waited for is refused then, not when its time is over; trailers have an end."""
    started = asyncio.get_running_loop().time()
    reply = await wire.post("/orders", b"", "Transfer-Encoding: chunked", then=[0.1, rest])

    assert reply[:2] in {(400, "malformed_body"), (400, "invalid_parameter")}
    assert asyncio.get_running_loop().time() - started < 5


async def test_slow_bodies(wire: Any) -> None:
    """A body has ten seconds to arrive, whether it drips, stops or never begins."""
    drip = wire.post("/orders", b"{", "Content-Length: 100", then=[0.5, b" "] * 40)
    stopped = wire.post("/orders", b'{"lines": [', "Content-Length: 100")
    silent = wire.post("/orders", b"", "Content-Length: 100")
    chunks = wire.post("/orders", b"", "Transfer-Encoding: chunked", then=[0.5, b"1\r\n \r\n"] * 40)
    started = asyncio.get_running_loop().time()
    replies = await asyncio.gather(drip, stopped, silent, chunks)

    assert {reply[:2] for reply in replies} == {(408, "timeout")}
    assert asyncio.get_running_loop().time() - started < 15
