"""Signing in, being kept from guessing, and getting a new password, on a real database."""

import asyncio
import statistics
import threading
import time
from collections import Counter

import argon2
import pytest

from soms.errors import AlreadyExists, ResourceExhausted, SomsError, Unauthenticated, Unavailable
from soms.models import credential, hashing, session, throttle
from soms.models.credential import NewPassword
from soms.models.database import fetch
from soms.models.profile import Registration, User

EMAIL, PASSWORD, WRONG, OFFICE = "ann@example.org", "correct horse", "wrong horse", "192.0.2.7"


@pytest.fixture
async def ann(database: None) -> User:
    """Somebody with an account."""
    return await credential.register(Registration(email=EMAIL, name="Ann"), NewPassword(password=PASSWORD))


async def outcome(email: str = EMAIL, password: str = WRONG, address: str = OFFICE) -> str:
    """What comes of a login, by its reason."""
    try:
        await credential.login(email, password, address)
    except SomsError as error:
        return error.reason
    return "signed in"


async def outcomes(attempts: int, email: str = EMAIL, password: str = WRONG) -> Counter[str]:
    """What comes of logins in parallel."""
    return Counter(await asyncio.gather(*(outcome(email, password) for _ in range(attempts))))


async def newest_reset() -> str:
    """The reset token that was mailed last."""
    rows = await fetch("users", "select payload::jsonb ->> 'token' from outbox where type like '%password_reset%' order by id desc limit 1")
    return str(rows[0][0])


async def test_login_is_for_the_right_password_alone(ann: User) -> None:
    """The right password begins a session; wrong, empty and unknown get one and the same answer."""
    assert (await credential.login(EMAIL, PASSWORD, OFFICE)).user == ann
    refusals = set()
    for email, password in [(EMAIL, WRONG), (EMAIL, ""), ("bob@example.org", PASSWORD)]:
        with pytest.raises(Unauthenticated) as caught:
            await credential.login(email, password, OFFICE)
        refusals.add((caught.value.reason, caught.value.message, caught.value.retry_after))

    assert {reason for reason, _, _ in refusals} == {"invalid_credentials"}
    assert len(refusals) == 1


async def test_one_of_twenty_registrations_wins(database: None) -> None:
    """Twenty people who register one e-mail at once make one account and one event."""
    account, new = Registration(email="Ann@Example.org", name="Ann"), NewPassword(password=PASSWORD)
    answers = await asyncio.gather(*(credential.register(account, new) for _ in range(20)), return_exceptions=True)

    assert Counter(type(answer) for answer in answers) == {User: 1, AlreadyExists: 19}
    assert {answer.reason for answer in answers if isinstance(answer, AlreadyExists)} == {"email_taken"}
    assert len(await fetch("users", "select from credential")) == len(await fetch("users", "select from outbox")) == 1
    assert await outcome(password=PASSWORD) == "signed in"


async def test_password_means_the_same_on_every_keyboard(database: None) -> None:
    """A letter typed as one character or as two makes the same password."""
    await credential.register(Registration(email=EMAIL, name="Ann"), NewPassword(password="caf\u00e9 au lait"))

    assert await outcome(password="cafe\u0301 au lait") == "signed in"


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.org"])
async def test_ten_failures_shut_an_account(ann: User, email: str) -> None:
    """The eleventh try within 15 minutes is refused with a time to wait, also with the right password, known or not."""
    tries = [await outcome(email) for _ in range(11)]

    assert tries == ["invalid_credentials"] * 10 + ["rate_limited"]
    with pytest.raises(ResourceExhausted) as caught:
        await credential.login(email, PASSWORD, "198.51.100.1")
    assert 14 * 60 < (caught.value.retry_after or 0) <= 15 * 60


async def test_failures_are_forgiven_one_by_one(ann: User) -> None:
    """The window slides: as many tries come free as failures are older than 15 minutes."""
    for _ in range(10):
        await outcome()
    await fetch("users", "update failed_logins set moments[1] = now() - interval '15 min', moments[2] = now() - interval '14 min 50 s'")

    assert await outcome() == "invalid_credentials"
    with pytest.raises(ResourceExhausted) as caught:
        await credential.login(EMAIL, PASSWORD, OFFICE)
    assert 1 <= (caught.value.retry_after or 0) <= 10


async def test_success_is_no_failure(ann: User) -> None:
    """Right passwords never count, however many come at once."""
    assert await outcomes(30, password=PASSWORD) == {"signed in": 30}
    assert await fetch("users", "select from failed_logins") == []


@pytest.mark.parametrize("address", ["192.0.2.7", "::ffff:192.0.2.7", "2001:db8::5"])
async def test_hundred_failures_shut_an_address(ann: User, address: str) -> None:
    """A client that fails for many accounts is refused whatever account it tries, with all addresses of its network."""
    for number in range(100):
        await throttle.count(throttle.subjects(f"{number}@example.org", address))
    neighbour = {"2001:db8::5": "2001:db8::ffff:1"}.get(address, OFFICE)

    assert await outcome(password=PASSWORD, address=neighbour) == "rate_limited"
    assert await outcome(password=PASSWORD, address="2001:db8:0:1::5") == "signed in"


@pytest.mark.parametrize("guarded", [True, False])
async def test_parallel_guesses_learn_no_more(ann: User, monkeypatch: pytest.MonkeyPatch, *, guarded: bool) -> None:
    """Of thirty guesses at once ten learn that they are wrong; without the guard in the statement that counts, all would."""
    if not guarded:
        statement = throttle.COUNT.replace(f"where cardinality({throttle.RECENT}) < $2", "where $2 > 0")
        monkeypatch.setattr(throttle, "COUNT", statement)
    found = await outcomes(30)

    assert (found == {"invalid_credentials": 10, "rate_limited": 20}) is guarded
    assert await outcome(password=PASSWORD) == "rate_limited"


@pytest.mark.parametrize("compared", [True, False])
async def test_unknown_and_wrong_take_the_same_time(ann: User, monkeypatch: pytest.MonkeyPatch, *, compared: bool) -> None:
    """By the time of a refusal nobody can tell whether there is an account; without a comparison in vain they could."""
    if not compared:
        monkeypatch.setattr(hashing, "_nobody", "no hash")
    seconds: dict[str, list[float]] = {EMAIL: [], "nobody@example.org": []}
    for _ in range(20):
        for email, taken in seconds.items():
            await fetch("users", "delete from failed_logins")
            started = time.perf_counter()
            await outcome(email)
            taken.append(time.perf_counter() - started)
    known, unknown = (statistics.median(taken) for taken in seconds.values())

    assert (abs(known - unknown) < 0.01) is compared


async def test_queue_for_hashing_is_short(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """More logins than there is room for are refused at once and without a count; those in the queue are answered."""
    gate, verified = threading.Event(), hashing._verified
    monkeypatch.setattr(hashing, "_verified", lambda *asked: gate.wait(20) and verified(*asked))
    done = asyncio.as_completed([outcome(password=PASSWORD) for _ in range(hashing.PLACES_LIMIT + 20)])
    assert [await next(done) for _ in range(20)] == ["unavailable"] * 20
    gate.set()
    assert [await login for login in done] == ["signed in"] * hashing.PLACES_LIMIT


async def test_cancelled_logins_leave_their_places(ann: User) -> None:
    """Clients that hang up while they wait make room for others."""
    waiting = [asyncio.create_task(hashing.hashed(PASSWORD)) for _ in range(hashing.PLACES_LIMIT)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable):
        await hashing.hashed(PASSWORD)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    free = hashing.PLACES_LIMIT - hashing.THREADS  # what has begun is finished

    assert await outcomes(free, password=PASSWORD) == {"signed in": free}


async def test_old_hashes_are_renewed(ann: User) -> None:
    """A hash with parameters of other days is replaced at the next login."""
    old = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    await fetch("users", "update credential set hash = $1", old)

    assert await outcome(password=PASSWORD) == "signed in"
    assert (await fetch("users", "select hash from credential"))[0]["hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await outcome(password=PASSWORD) == "signed in"


async def test_login_loses_against_a_new_password(ann: User, monkeypatch: pytest.MonkeyPatch) -> None:
    """A login that was verified before the password changed begins no session after it."""
    await credential.request_reset(EMAIL)
    token = await newest_reset()
    verified = hashing.verified

    async def slowly(phc: str | None, password: str) -> bool:
        right = await verified(phc, password)
        await credential.confirm_reset(token, NewPassword(password="battery staple"))
        return right

    monkeypatch.setattr(hashing, "verified", slowly)

    assert await outcome(password=PASSWORD) == "invalid_credentials"
    assert await fetch("users", "select from session") == []


async def test_reset_sets_the_password_once(ann: User) -> None:
    """A reset token works once, ends all sessions and forgives failed logins; then the new password is the right one."""
    granted = await credential.login(EMAIL, PASSWORD, OFFICE)
    for _ in range(10):
        await outcome()
    await credential.request_reset(EMAIL)
    token = await newest_reset()
    await credential.confirm_reset(token, NewPassword(password="battery staple"))

    assert await outcome(password="battery staple") == "signed in"
    assert await outcome(password=PASSWORD) == "invalid_credentials"
    for attempt in (session.refresh(b"key", granted.refresh_token), credential.confirm_reset(token, NewPassword(password="one more time"))):
        with pytest.raises(Unauthenticated) as caught:
            await attempt
        assert caught.value.reason == "invalid_token"


async def test_one_of_twenty_resets_wins(ann: User) -> None:
    """One token, or several, used in parallel: one password is set, the others are told that theirs came too late."""
    tokens = []
    for _ in range(5):
        await credential.request_reset(EMAIL)
        tokens.append(await newest_reset())
    new = NewPassword(password="battery staple")
    answers = await asyncio.gather(*(credential.confirm_reset(token, new) for token in tokens * 4), return_exceptions=True)

    assert len(set(tokens)) == 5
    assert Counter(type(answer) for answer in answers) == {type(None): 1, Unauthenticated: 19}


async def test_resets_expire(ann: User) -> None:
    """A reset token is good for an hour."""
    await credential.request_reset(EMAIL)
    await fetch("users", "update password_reset set expires_at = expires_at - interval '1 hour'")

    with pytest.raises(Unauthenticated):
        await credential.confirm_reset(await newest_reset(), NewPassword(password="battery staple"))


async def test_reset_requests_tell_nothing(ann: User) -> None:
    """Known or not, a request takes the same time; nobody is mailed more than five times in an hour; no token is kept in clear."""
    seconds: dict[str, list[float]] = {EMAIL: [], "nobody@example.org": []}
    for _ in range(7):
        for email, taken in seconds.items():
            started = time.perf_counter()
            await credential.request_reset(email)
            taken.append(time.perf_counter() - started)
    known, unknown = (statistics.median(taken) for taken in seconds.values())
    rows = await fetch("users", "select hash from password_reset")

    assert abs(known - unknown) < 0.02
    assert len(rows) == 5
    assert session.digest(await newest_reset()) in {row["hash"] for row in rows}
