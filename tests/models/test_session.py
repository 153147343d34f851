"""Refresh tokens: each good once, the same successor for all who ask in time, the end of the session for who comes late."""

import asyncio
import re
import secrets
from uuid import UUID

import pytest

from soms.errors import Unauthenticated
from soms.models import credential, profile, session, user
from soms.models.database import fetch
from soms.models.profile import Registration, Role

KEY = b"a key of the user service"


@pytest.fixture
async def ann(database: None) -> UUID:
    """Somebody with an account."""
    return (await credential.register(Registration(email="ann@example.org", name="Ann"), None)).id


async def later(seconds: float) -> None:
    """Let time pass for the tokens."""
    await fetch("users", "update refresh_token set used_at = used_at - make_interval(secs => $1)", seconds)
    await fetch("users", "update session set expires_at = expires_at - make_interval(secs => $1)", seconds)


async def works(token: str) -> bool:
    """Whether a token is good for another."""
    try:
        await session.refresh(KEY, token)
    except Unauthenticated as error:
        return error.reason != "invalid_token"
    return True


async def test_tokens_follow_each_other(ann: UUID) -> None:
    """Each refresh gives another token of the same person, which is good for the next; none is kept in clear."""
    token = await session.begin(ann)
    seen = [token]
    for _ in range(5):
        whose, token = await session.refresh(KEY, token)
        assert whose == ann
        seen.append(token)
    kept = await fetch("users", "select hash from refresh_token")

    assert len(set(seen)) == 6
    assert all(re.fullmatch(r"[\w-]{64}", token) for token in seen)
    assert {row["hash"] for row in kept} == {session.digest(token) for token in seen}


async def test_token_within_the_grace_gives_the_same_successor(ann: UUID) -> None:
    """Whoever lost the answer may ask again for ten seconds, even when the successor was used meanwhile."""
    first = await session.begin(ann)
    _, second = await session.refresh(KEY, first)
    _, third = await session.refresh(KEY, second)
    await later(9)

    assert await session.refresh(KEY, first) == (ann, second)
    assert await session.refresh(KEY, second) == (ann, third)
    assert await works(third)


@pytest.mark.parametrize("derived", [True, False])
async def test_parallel_refreshes_have_one_successor(ann: UUID, monkeypatch: pytest.MonkeyPatch, *, derived: bool) -> None:
    """Twenty refreshes of one token at once give one successor; made of chance instead of derived, there would be twenty."""
    if not derived:
        monkeypatch.setattr(session, "successor", lambda _, token: session._token(session._session_id(token), secrets.token_bytes(32)))
    token = await session.begin(ann)
    answers = await asyncio.gather(*(session.refresh(KEY, token) for _ in range(20)))

    assert (len({successor for _, successor in answers}) == 1) is derived
    assert ((await fetch("users", "select count(*) from refresh_token"))[0][0] == 2) is derived


@pytest.mark.parametrize("pruned", [False, True])
async def test_reuse_after_the_grace_ends_the_session(ann: UUID, *, pruned: bool) -> None:
    """A token that comes again late takes the whole family with it, thief and victim; other sessions go on."""
    first, elsewhere = await session.begin(ann), await session.begin(ann)
    _, second = await session.refresh(KEY, first)
    await later(11)
    if pruned:
        await user.prune()

    assert not await works(first)
    assert not await works(second)
    assert await works(elsewhere)


async def test_forged_successor_ends_the_session(ann: UUID) -> None:
    """A token of the session that never was one comes from somebody who stole one of them."""
    token = await session.begin(ann)

    assert not await works(session.successor(b"another key", token))
    assert not await works(token)


@pytest.mark.parametrize("token", ["", "x", "x" * 64, "é" * 64, "x" * 10_000, "ab\n" + "x" * 61])
async def test_nonsense_is_no_token(ann: UUID, token: str) -> None:
    """What we never made is refused, and signing it out does nothing."""
    await session.end(token)

    assert not await works(token)


async def test_sign_out_ends_the_family(ann: UUID) -> None:
    """Any token of a session ends it, as often as one likes."""
    first = await session.begin(ann)
    _, second = await session.refresh(KEY, first)
    await session.end(first)
    await session.end(first)

    assert not await works(second)


async def test_refresh_prolongs_a_session(ann: UUID) -> None:
    """A token is good for thirty days, and so is each successor."""
    token, idle = await session.begin(ann), await session.begin(ann)
    await later(29 * 86_400)
    _, token = await session.refresh(KEY, token)
    await later(2 * 86_400)

    assert await works(token)
    assert not await works(idle)


async def test_role_change_ends_sessions(ann: UUID) -> None:
    """Other roles mean to sign in again; the same roles do not."""
    token = await session.begin(ann)
    await profile.set_roles(ann, [Role.CUSTOMER])
    assert await works(token)

    await profile.grant(ann, Role.STAFF)
    assert await fetch("users", "select from session") == []


async def test_prune_leaves_what_is_of_use(ann: UUID) -> None:
    """What has expired goes, in all tables; what has not stays."""
    live, dead = await session.begin(ann), await session.begin(ann)
    await session.refresh(KEY, live)
    await fetch("users", "update session set expires_at = now() - interval '1 s' where id = $1", session._session_id(dead))
    await fetch("users", "insert into failed_logins values ('old', array[now()], now() - interval '16 min'), ('new', array[now()], now())")
    await fetch("users", "insert into password_reset values ('old', now() - interval '1 s', $1), ('new', now() + interval '1 s', $1)", ann)
    await user.prune()
    await later(11)
    await user.prune()

    for table, rows in {"session": 1, "refresh_token": 1, "failed_logins": 1, "password_reset": 1}.items():
        assert (await fetch("users", f"select count(*) from {table}"))[0][0] == rows, table
