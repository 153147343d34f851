"""Limits: how much one caller may ask, how much may be under way, and that both are told."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from soms.config import Settings
from soms.errors import ResourceExhausted, Unavailable
from soms.web.gateway import network
from soms.web.limits import REMEMBERED, Gate, RateLimit


class Clock:
    """A clock that stands still until it is set."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def test_a_bucket_empties_and_fills() -> None:
    """So many at once, then one for every share of a minute that has passed."""
    clock = Clock()
    limit = RateLimit(60, clock)
    spent = [limit.take("ada").allowed for _ in range(61)]
    clock.now = 2
    refilled = [limit.take("ada").allowed for _ in range(3)]

    assert spent == [True] * 60 + [False]
    assert refilled == [True, True, False]


def test_a_bucket_never_overflows() -> None:
    """A long rest earns no more than a full bucket."""
    clock = Clock()
    limit = RateLimit(60, clock)
    limit.take("ada")
    clock.now = 1_000_000

    assert limit.take("ada").remaining == 59


def test_callers_do_not_share() -> None:
    """What one spends, another keeps."""
    limit = RateLimit(1, Clock())

    assert [limit.take(who).allowed for who in ("ada", "ada", "eve")] == [True, False, True]


def test_memory_is_bounded() -> None:
    """Whoever has not been seen for the longest is forgotten first."""
    limit = RateLimit(10, Clock())
    limit.take("early")
    for number in range(REMEMBERED):
        limit.take(str(number))

    assert len(limit._buckets) == REMEMBERED
    assert "early" not in limit._buckets


def test_a_gate_is_left_by_whoever_fails() -> None:
    """The place is free again after an error, and a full house refuses at once."""
    gate = Gate(1)
    with pytest.raises(ZeroDivisionError), gate:
        _ = 1 / 0
    with gate, pytest.raises(Unavailable), gate:
        pass

    assert gate.under_way == 0


@pytest.mark.parametrize(
    ("address", "caller"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
    ],
)
def test_one_household_is_one_caller(address: str, caller: str) -> None:
    """An IPv6 network of 64 bits counts as one address."""
    assert network(address) == caller


@pytest.fixture
def limited(tmp_path: Path) -> Settings:
    """Settings with 3 requests a minute per account, 6 per address."""
    return Settings(home=tmp_path, rate_limit=3)


class TestOverHttp:
    """What clients see of it."""

    @pytest.fixture
    def gateway_settings(self, limited: Settings) -> Settings:
        """Strict settings instead of none."""
        return limited

    async def test_an_account_is_limited(self, client: Any, token: Callable[..., str]) -> None:
        """Headers count down, then 429 with the time to wait; another account goes on."""
        mine = token()
        replies = [await client("GET", "/orders", token=mine) for _ in range(4)]
        other = await client("GET", "/orders", token=token(user_id=uuid4()))

        assert [reply.status for reply in replies] == [200, 200, 200, 429]
        assert [reply.headers["RateLimit-Remaining"] for reply in replies] == ["2", "1", "0", "0"]
        assert {reply.headers["RateLimit-Limit"] for reply in replies} == {"3"}
        assert 1 <= int(replies[3].headers["RateLimit-Reset"]) <= 60
        assert 1 <= int(replies[3].headers["Retry-After"]) <= 20
        assert replies[3].problem == (429, "rate_limited")
        assert other.status == 200

    async def test_an_address_is_limited(self, client: Any) -> None:
        """Without an account the address counts, whatever the client says about where it comes from."""
        replies = [await client("GET", "/products", headers={"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(7)]

        assert [reply.status for reply in replies] == [200] * 6 + [429]

    async def test_bad_tokens_count_too(self, client: Any) -> None:
        """Guessing is limited like everything else."""
        replies = [await client("GET", "/orders", token="a.b.c") for _ in range(7)]

        assert [reply.status for reply in replies] == [401] * 6 + [429]

    async def test_health_is_not_limited(self, client: Any) -> None:
        """Whoever looks after us may look often."""
        assert {(await client("GET", "//healthz")).status for _ in range(20)} == {200}


async def test_limits_may_be_off(client: Any) -> None:
    """Then nothing is said about them."""
    assert "RateLimit-Limit" not in (await client("GET", "/products")).headers


async def test_logins_are_throttled_by_the_service(client: Any, services: Any) -> None:
    """The user service hears the address and says how long to wait."""
    services.users.answers["login"] = ResourceExhausted(retry_after=840.2)
    reply = await client("POST", "/auth/login", json={"email": "ada@example.com", "password": "x"})

    assert reply.problem == (429, "rate_limited")
    assert reply.headers["Retry-After"] == "841"
    assert services.users.asked.client_address == "127.0.0.1"


async def test_a_full_house_refuses_at_once(client: Any, services: Any, gateway: Any) -> None:
    """With 256 requests of one route under way its next is a 503, while others are answered; afterwards all is as before."""
    release = asyncio.Event()

    async def wait(_: Any) -> Any:
        await release.wait()
        return answer

    answer, services.products.answers["list_products"] = services.products.answers["list_products"], wait
    waiting = [asyncio.create_task(client("GET", "/products")) for _ in range(256)]
    try:
        async with asyncio.timeout(10):
            while gateway._serving.under_way < 256:  # noqa: ASYNC110 - counted on the other side of the connection
                await asyncio.sleep(0.01)
        refused, other = await client("GET", "/products"), await client("GET", "/products/TEA")
    finally:
        release.set()
    replies = await asyncio.gather(*waiting)

    assert refused.problem == (503, "unavailable")
    assert refused.headers["Retry-After"] == "1"
    assert other.status == 200
    assert {reply.status for reply in replies} == {200}
    assert gateway._serving.under_way == 0


async def test_all_routes_together_are_bounded(client: Any, gateway: Any) -> None:
    """Beyond 1,024 requests nobody gets in, but whoever looks after us."""
    gateway._serving.under_way = 1024

    assert (await client("GET", "/products")).problem == (503, "unavailable")
    assert (await client("GET", "//healthz")).status == 200
