"""Guessing who is here, and what with: sign-in, registration and reset on the running stack tell nothing they should not."""

import asyncio
import time
from typing import Any

import pytest

PASSWORD = "correct horse battery"


@pytest.fixture
async def account(wire: Any) -> dict[str, str]:
    """Somebody who has registered."""
    email = f"victim-{time.time_ns()}@example.org"
    assert (await wire.post("/auth/register", {"email": email, "password": PASSWORD, "name": "Victim"})).status == 201
    return {"email": email, "password": PASSWORD}


@pytest.fixture(autouse=True)
async def forgiven(stack: Any) -> Any:
    """The failures here do not lock out those who sign in from this address later."""
    yield
    await stack.rows("delete from users.failed_logins")


def alike(*replies: Any) -> bool:
    """Whether replies differ in the id of the request alone."""
    return len({(reply.status, str({**reply.body, "request_id": ""})) for reply in replies}) == 1


async def test_large_passwords_are_not_hashed(wire: Any, account: dict[str, str]) -> None:
    """256 bytes are enough: more is refused by its length, before anybody hashes it."""
    replies = [await wire.post("/auth/login", account | {"password": "x" * size}) for size in (257, 200_000)]
    wide = await wire.post("/auth/register", {"email": "wide@example.org", "password": "ä" * 129, "name": "W"})
    huge = await wire.post("/auth/login", account | {"password": "x" * 1_000_000})

    assert [reply[:2] for reply in (*replies, wide)] == [(422, "validation_failed")] * 3
    assert huge[:2] == (413, "too_large")


async def test_unknown_and_wrong_are_alike(wire: Any, account: dict[str, str]) -> None:
    """Whether the account or the password is wrong, nobody learns."""
    wrong = await wire.post("/auth/login", account | {"password": "incorrect horse"})
    unknown = await wire.post("/auth/login", account | {"email": f"nobody-{time.time_ns()}@example.org"})

    assert wrong[:2] == (401, "invalid_credentials")
    assert alike(wrong, unknown)


async def test_reset_says_the_same_to_all(wire: Any, account: dict[str, str]) -> None:
    """202 for whom we know and whom we don't."""
    replies = [await wire.post("/auth/password-reset", {"email": email}) for email in (account["email"], "nobody@example.org")]

    assert replies[0] == replies[1]
    assert replies[0].status == 202


async def test_one_person_has_one_address(wire: Any, account: dict[str, str]) -> None:
    """Case makes no other account, and a letter that only looks the same makes no way into one."""
    name, _, host = account["email"].partition("@")
    upper, look = f"{name.upper()}@{host.title()}", f"{name.replace('i', 'і')}@{host}"  # noqa: RUF001 - that is the attack
    taken = [await wire.post("/auth/register", {"email": email, "password": PASSWORD, "name": "X"}) for email in (account["email"], upper)]

    assert [reply[:2] for reply in taken] == [(409, "email_taken")] * 2
    assert (await wire.post("/auth/login", account | {"email": upper})).status == 200
    assert (await wire.post("/auth/login", account | {"email": look}))[:2] == (401, "invalid_credentials")


@pytest.mark.parametrize(
    "email",
    [
        "",
        "x",
        "a@b@c",
        "a b@example.org",
        "a@example.org\r\nBcc: b@example.org",
        "<a@example.org>",
        "a" * 250 + "@x.org",
        1,
        None,
        ["a@example.org"],
    ],
)
async def test_what_is_no_address(wire: Any, email: Any) -> None:
    """Nothing gets near a mail header that is not one address."""
    assert (await wire.post("/auth/register", {"email": email, "password": PASSWORD, "name": "X"}))[:2] == (422, "validation_failed")


async def test_guessing_is_throttled(wire: Any, account: dict[str, str]) -> None:
    """After ten wrong passwords even the right one is too late, and it says when to come again."""
    guesses = await asyncio.gather(*(wire.post("/auth/login", account | {"password": f"incorrect {n:03}"}) for n in range(14)))
    right = await wire.post("/auth/login", account)

    assert sorted(reply.status for reply in guesses) == [401] * 10 + [429] * 4
    assert right[:2] == (429, "rate_limited")


async def test_parallel_refreshes_have_one_successor(wire: Any, account: dict[str, str]) -> None:
    """Twenty copies of a refresh are one: all get the same next token, and it holds."""
    first = (await wire.post("/auth/login", account)).body["refresh_token"]
    copies = await asyncio.gather(*(wire.post("/auth/refresh", {"refresh_token": first}) for _ in range(20)))
    (second,) = {reply.body["refresh_token"] for reply in copies}

    assert second != first
    assert (await wire.post("/auth/refresh", {"refresh_token": second})).status == 200


@pytest.mark.parametrize("token", ["x", "x" * 512, "00000000-0000-0000-0000-000000000000", "' or 1=1--", "../../x"])
async def test_made_up_tokens(wire: Any, token: str) -> None:
    """A token nobody gave out refreshes and resets nothing; logging out with it is fine and tells nothing."""
    refreshed = await wire.post("/auth/refresh", {"refresh_token": token})
    reset = await wire.post("/auth/password-reset/confirm", {"token": token, "password": PASSWORD})

    assert [reply[:2] for reply in (refreshed, reset)] == [(401, "invalid_token")] * 2
    assert (await wire.post("/auth/logout", {"refresh_token": token})).status == 204
