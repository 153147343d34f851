"""Bodies: what does not parse, what is no JSON, what is too much, and what never arrives."""

import gzip
from typing import Any

import pytest

from soms.errors import SomsError
from soms.web import body

MALFORMED = {
    "truncated": b'{"lines": [',
    "nothing": b"",
    "blank": b"  ",
    "nested deeply": b"[" * 10_000,
    "nested deeply and closed": b"[" * 5_000 + b"]" * 5_000,
    "NaN": b'{"note": NaN}',
    "infinity": b'{"note": -Infinity}',
    "beyond floats": b'{"note": 1e400}',
    "5,000 digits": b'{"note": ' + b"9" * 5_000 + b"}",
    "doubled key": b'{"note": "a", "note": "a"}',
    "doubled key inside": b'{"lines": [{"sku": "a", "sku": "b"}]}',
    "doubled key by escape": b'{"note": "a", "n\\u006fte": "a"}',
    "lone surrogate": b'{"note": "\\ud800"}',
    "lone low surrogate": b'{"note": "\\udc00x"}',
    "lone surrogate as key": b'{"\\ud800": 1}',
    "NUL": b'{"note": "a\\u0000b"}',
    "NUL after backslashes": b'{"note": "\\\\\\\\\\u0000"}',
    "raw NUL": b'{"note": "\x00"}',
    "raw control": b'{"note": "\x01"}',
    "not UTF-8": b'{"note": "\xff"}',
    "overlong UTF-8": b'{"note": "\xc0\xaf"}',
    "UTF-16": '{"note": "a"}'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf{"note": "a"}',
    "two values": b"{} {}",
    "comment": b"{} // no",
    "trailing comma": b'{"lines": [],}',
    "single quotes": b"{'lines': []}",
}
FINE = {
    "pair of surrogates": (b'{"note": "\\ud83d\\ude00"}', {"note": "\U0001f600"}),
    "NUL in so many words": (b'{"note": "\\\\u0000"}', {"note": "\\u0000"}),
    "escaped slash": (b'{"note": "\\u002f"}', {"note": "/"}),
    "long number": (b'{"note": 123456789012345678901234567890}', {"note": 123456789012345678901234567890}),
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_malformed_bodies_are_refused(client: Any, token: Any, services: Any, case: str) -> None:
    """What readers could understand differently is not understood at all."""
    headers = {"Content-Type": "application/json"}
    reply = await client("POST", "/orders", token=token(), key="k", data=MALFORMED[case], headers=headers)

    assert reply.problem == (400, "malformed_body")
    assert services.orders.calls == []


@pytest.mark.parametrize("case", FINE)
def test_odd_but_sound_json_is_understood(case: str) -> None:
    """Strictness stops where the standard does."""
    text, value = FINE[case]

    assert body.parse(text) == value


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/jsonx"},
        {"Content-Type": ""},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_other_media_types_are_refused(client: Any, token: Any, headers: Any) -> None:
    """JSON comes as application/json, neither packed nor in another character set."""
    content = gzip.compress(b"{}") if "Content-Encoding" in headers else b"{}"
    reply = await client("POST", "/orders", token=token(), key="k", data=content, headers=headers)

    assert reply.problem == (415, "unsupported_media_type")


@pytest.mark.parametrize("media_type", ["application/json", "Application/JSON; charset=UTF-8", 'application/json;charset="utf-8"'])
async def test_json_may_say_its_character_set(client: Any, token: Any, media_type: str) -> None:
    """Case and the one character set do not matter."""
    content = b'{"lines": [{"sku": "a", "quantity": 1}]}'
    reply = await client("POST", "/orders", token=token(), key="k", data=content, headers={"Content-Type": media_type})

    assert reply.status == 201


async def test_a_large_body_is_refused_by_its_length(client: Any, token: Any) -> None:
    """More than 256 KiB are not even read."""
    headers = {"Content-Type": "application/json"}
    reply = await client("POST", "/orders", token=token(), key="k", data=b" " * (256 * 1024 + 1), headers=headers)

    assert reply.problem == (413, "too_large")


async def test_a_body_of_exactly_the_limit_is_read(client: Any, token: Any) -> None:
    """256 KiB are fine."""
    content = b'{"lines": [{"sku": "a", "quantity": 1}]}'.ljust(256 * 1024)
    reply = await client("POST", "/orders", token=token(), key="k", data=content, headers={"Content-Type": "application/json"})

    assert reply.status == 201


def head(token: str, *more: str) -> tuple[str, ...]:
    """The head of a POST /orders."""
    return ("POST /api/v1/orders", f"Authorization: Bearer {token}", "Idempotency-Key: k", "Content-Type: application/json", *more)


async def test_a_chunked_body_without_end_is_refused(raw: Any, token: Any) -> None:
    """Chunks are counted as they come."""
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    answer = await raw(*head(token(), "Transfer-Encoding: chunked"), then=chunk, times=1000)

    assert answer.startswith(b"HTTP/1.1 413")
    assert b"too_large" in answer


async def test_a_slow_body_is_given_up(raw: Any, token: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that does not arrive in time is a 408."""
    monkeypatch.setattr(body, "ARRIVAL_SECONDS", 0.05)
    answer = await raw(*head(token(), "Content-Length: 100"), then=b"{")

    assert answer.startswith(b"HTTP/1.1 408")
    assert b'"reason":"timeout"' in answer


async def test_broken_chunks_are_refused(raw: Any, token: Any) -> None:
    """A body that is not framed as it says is malformed."""
    answer = await raw(*head(token(), "Transfer-Encoding: chunked"), then=b"zz\r\n")

    assert b" 400 " in answer
    assert b'"reason":"invalid_parameter"' in answer
    assert b"aiohttp" not in answer


async def test_slow_bodies_do_not_pile_up(raw: Any, token: Any, gateway: Any) -> None:
    """So many bodies may be on their way; one more is refused at once, while those that came whole go on."""
    gateway.arriving.under_way = 256
    slow = await raw(*head(token(), "Content-Length: 100"), then=b"{")
    whole = b'{"lines": [{"sku": "a", "quantity": 1}]}'
    quick = await raw(*head(token(), f"Content-Length: {len(whole)}"), then=whole)

    assert slow.startswith(b"HTTP/1.1 503")
    assert quick.startswith(b"HTTP/1.1 201")


async def test_a_body_is_invited_when_all_else_is_in_order(raw: Any, token: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Expect: 100-continue` is answered by the invitation for a good head, by the refusal for a bad one."""
    monkeypatch.setattr(body, "ARRIVAL_SECONDS", 0.05)
    good = await raw(*head(token(), "Content-Length: 2", "Expect: 100-continue"))
    bad = await raw(*head("x.y.z", "Content-Length: 2", "Expect: 100-continue"))

    assert good.startswith(b"HTTP/1.1 100")
    assert bad.startswith(b"HTTP/1.1 401")


def test_depth_is_refused_quickly() -> None:
    """A hostile nest costs no more than its length."""
    with pytest.raises(SomsError, match="nested too deeply"):
        body.parse(b'{"a":' * 30_000)
