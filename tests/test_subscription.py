"""What a webhook may be asked to be."""

import pytest
from pydantic import TypeAdapter, ValidationError

from soms.events import OrderPaid, UserPasswordReset
from soms.subscription import HEARD, EventTypes, Url

URL, TYPES = TypeAdapter(Url), TypeAdapter(EventTypes)


@pytest.mark.parametrize(
    "url",
    [
        "https://hook.example",
        "https://hook.example/",
        "https://hook.example:8443/a/b?c=d%20e&f=(g)",
        "https://hook.example?x",
        "http://127.0.0.1:9/hook",
        "https://[2606:4700::1111]:443/x",
        "https://a_b.xn--bcher-kva.example./",
        "https://h/" + "x" * 1990,
    ],
)
def test_addresses(url: str) -> None:
    """Addresses are taken as they are given."""
    assert URL.validate_python(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hook.example",
        "ftp://hook.example/",
        "HTTPS://hook.example/",
        "https://",
        "https:///x",
        "https://user@hook.example/",
        "https://user:password@hook.example/",
        "https://hook.example/#fragment",
        "https://hook.example\\@evil.example/",
        "https://hook.example/\r\nX: y",
        "https://hook.example/\n",
        "https://hook.example /",
        " https://hook.example/",
        "https://bücher.example/",
        "https://hook.example:0/",
        "https://hook.example:65536/",
        "https://hook.example:/",
        "https://[::1/",
        "https://[1.2.3.4]/",
        "https://[:::]/",
        "https://hook..example/",
        "https://-hook.example/",
        "https://h/" + "x" * 1991,
        "https://" + "a." * 130 + "example/",
    ],
)
def test_what_is_no_address(url: str) -> None:
    """Other schemes, users and passwords, fragments, control characters and what is no host are refused, at once."""
    with pytest.raises(ValidationError):
        URL.validate_python(url)


def test_event_types() -> None:
    """All that is told can be heard, once each, but for tokens of people."""
    assert TYPES.validate_python(["*", OrderPaid.type, "*"]) == ["*", OrderPaid.type]
    assert UserPasswordReset.type not in HEARD
    for wrong in ([], ["soms.order.eaten.v1"], [UserPasswordReset.type], [""], [1], "*", ["soms.order.*"]):
        with pytest.raises(ValidationError):
            TYPES.validate_python(wrong)
