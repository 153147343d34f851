"""Profiles, roles and being forgotten, on a real database."""

import asyncio
from collections import Counter
from uuid import UUID, uuid4

import asyncpg
import pytest

from soms.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound, SomsError
from soms.models import address, credential, preferences, profile, session, user
from soms.models.credential import NewPassword
from soms.models.database import fetch
from soms.models.preferences import Wishes
from soms.models.profile import ProfileChange, Registration, User
from soms.values import PostalAddress

HOME = PostalAddress(name="Ann", line1="1 High Street", city="Leeds", country="GB")


async def person(name: str, *roles: str) -> User:
    """Somebody with an account."""
    new = await credential.register(Registration(email=f"{name}@example.org", name=name.title()), None)
    return await profile.set_roles(new.id, roles)


@pytest.fixture
async def ann(database: None) -> User:
    """A customer."""
    return await person("ann")


async def events() -> list[str]:
    """Types of the events written so far."""
    return [row["type"].removeprefix("soms.user.") for row in await fetch("users", "select type from outbox order by id")]


async def test_update_changes_what_is_given(ann: User) -> None:
    """What is absent stays, an empty telephone number goes; each change is a version and an event, none is neither."""
    first = await profile.update(ann.id, ProfileChange(phone="+442079460000"))
    second = await profile.update(ann.id, ProfileChange(name="Ann Lee"))
    third = await profile.update(ann.id, ProfileChange(phone=""))
    same = await profile.update(ann.id, ProfileChange(name="Ann Lee"))

    assert [(x.name, x.phone, x.version) for x in (first, second, third, same)] == [
        ("Ann", "+442079460000", 2),
        ("Ann Lee", "+442079460000", 3),
        ("Ann Lee", None, 4),
        ("Ann Lee", None, 4),
    ]
    assert await events() == ["registered.v1", *["updated.v1"] * 3]


async def test_one_of_ten_rivals_changes_a_version(ann: User) -> None:
    """Of changes to the version that all have seen, one wins; the others are told."""
    changes = (profile.update(ann.id, ProfileChange(name=f"Ann {n}"), if_version=1) for n in range(10))
    answers = await asyncio.gather(*changes, return_exceptions=True)

    assert Counter(type(answer) for answer in answers) == {User: 1, Aborted: 9}
    assert {answer.reason for answer in answers if isinstance(answer, Aborted)} == {"stale_version"}


async def test_nobody_is_not_found(database: None) -> None:
    """An id of nobody is refused everywhere."""
    nobody = uuid4()
    asked = [
        profile.found(id=nobody),
        profile.update(nobody, ProfileChange(name="X")),
        profile.set_roles(nobody, ["staff"]),
        user.anonymise(nobody),
        address.add(nobody, HOME, is_default=False),
        preferences.say(nobody, Wishes(locale="de")),
    ]
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(answer, NotFound)


async def test_search_finds_words_in_mail_and_name(database: None) -> None:
    """Every word must be in the e-mail or the name, whatever its case; signs of patterns are signs."""
    for name in ("ann", "bob", "bo_b", "annabel"):
        await person(name)
    found = {words: [x.name for x in (await profile.search(words, 0, ""))[0]] for words in ("", "ANN", "ann bel", "o_", "%", "zoe")}

    assert found == {
        "": ["Annabel", "Bo_B", "Bob", "Ann"],
        "ANN": ["Annabel", "Ann"],
        "ann bel": ["Annabel"],
        "o_": ["Bo_B"],
        "%": [],
        "zoe": [],
    }


async def test_pages_neither_skip_nor_repeat(database: None) -> None:
    """Pages go on where the last one ended, though people register meanwhile and many at one moment."""
    for number in range(7):
        await person(f"p{number}")
    await fetch("users", "update users set created_at = date_trunc('hour', created_at) where name <> 'P3'")
    everybody = {x.id for x in (await profile.search("", 100, ""))[0]}
    seen: list[UUID] = []
    token = ""
    for _ in range(4):
        page, token = await profile.search("", 2, token)
        seen += [x.id for x in page]
        await person(f"late{len(seen)}")

    assert token == ""
    assert len(seen) == 7
    assert set(seen) == everybody


@pytest.mark.parametrize("token", ["x", "WyJ4Il0=", "WyIyMDIwLTAxLTAxIiwgIjAxYTIwNTExLWEzM2MtNzUzNi1iY2M2LTMyMDM2OGM1NjgxMiJd"])
async def test_foreign_page_tokens_are_refused(database: None, token: str) -> None:
    """Tokens that are not ours: no base64, no position, a moment without a zone."""
    with pytest.raises(InvalidArgument) as caught:
        await profile.search("", 0, token)

    assert caught.value.reason == "invalid_parameter"


async def test_roles_include_customer(ann: User) -> None:
    """Whatever is said, a customer one stays; a role there is not is refused; the same roles change nothing."""
    assert (await profile.set_roles(ann.id, ["admin", "staff"])).roles == ["customer", "staff", "admin"]
    assert (await profile.set_roles(ann.id, ["staff", "customer", "admin"], if_version=2)).version == 2
    await person("bob", "admin")
    assert (await profile.set_roles(ann.id, [])).roles == ["customer"]
    with pytest.raises(InvalidArgument):
        await profile.set_roles(ann.id, ["root"])


@pytest.mark.parametrize("held", [True, False])
async def test_one_admin_stays(database: None, monkeypatch: pytest.MonkeyPatch, *, held: bool) -> None:
    """Admins who leave all at once leave one of them behind; if looking did not hold them, none would be left."""
    if not held:
        monkeypatch.setattr(profile, "HOLD_ADMINS", profile.HOLD_ADMINS.removesuffix("for no key update"))
    admins = [await person(name, "admin") for name in ("ann", "bob", "cid", "dee")]
    leaving = [profile.set_roles(x.id, []) for x in admins[:2]] + [user.anonymise(x.id) for x in admins[2:]]  # type: ignore[list-item]
    answers = await asyncio.gather(*leaving, return_exceptions=True)

    refusals = [answer.reason for answer in answers if isinstance(answer, FailedPrecondition)]
    assert refusals == ["last_admin"] * held
    assert len(await fetch("users", "select from users where 'admin' = any (roles)")) == held


async def test_issue_makes_the_account_once(database: None) -> None:
    """Ten scripts at once: one account with the role; asked again, the account keeps its password and gets the other role."""
    account = Registration(email="script@example.org", name="Script")
    made = await asyncio.gather(*(credential.issue(account, NewPassword(password="correct horse"), "staff") for _ in range(10)))
    again = await credential.issue(account, NewPassword(password="battery staple"), "admin")
    await credential.login("script@example.org", "correct horse", "")

    assert {x.id for x in made} == {again.id}
    assert (made[0].roles, again.roles) == (["customer", "staff"], ["customer", "staff", "admin"])
    with pytest.raises(InvalidArgument):
        await credential.issue(Registration(email="other@example.org", name="Other"), None, "root")
    assert len(await fetch("users", "select from users")) == 1


async def test_anonymised_leaves_no_trace(database: None) -> None:
    """The row stays without a name; credentials, sessions, addresses and preferences go; the e-mail is free again."""
    new = NewPassword(password="correct horse")
    ann = await credential.register(Registration(email="ann@example.org", name="Ann", phone="+442079460000"), new)
    token = (await credential.login("ann@example.org", "correct horse", "192.0.2.7")).refresh_token
    await credential.request_reset("ann@example.org")
    with pytest.raises(SomsError):
        await credential.login("ann@example.org", "wrong horse", "")
    await address.add(ann.id, HOME, is_default=True)
    await preferences.say(ann.id, Wishes(locale="de"))
    await user.anonymise(ann.id, if_version=1)
    row = (await fetch("users", "select * from users"))[0]

    assert (row["id"], row["email"], row["name"], row["phone"], row["version"]) == (ann.id, None, "", None, 2)
    for table in ("credential", "session", "refresh_token", "password_reset", "address", "preferences"):
        assert await fetch("users", f"select from {table}") == [], table
    assert (await events())[-1] == "anonymised.v1"
    for gone in (profile.found(id=ann.id), user.anonymise(ann.id), session.refresh(b"key", token)):
        with pytest.raises(SomsError):
            await gone
    assert (await profile.search("", 0, ""))[0] == []
    assert (await person("ann")).id != ann.id


@pytest.mark.parametrize(
    "statement",
    [
        "update users set roles = '{staff}'",
        "update users set roles = '{customer,root}'",
        "update users set email = 'Ann@example.org'",
        "update users set email = null",
        "update users set version = 0",
        "insert into users (email, name, roles) select email, name, roles from users",
        "update address set country = 'gb'",
        "update address set is_default = true",
        "update preferences set version = 0",
        "insert into failed_logins values ('x', '{}', now())",
    ],
)
async def test_the_database_guards_what_holds_always(ann: User, statement: str) -> None:
    """Whatever a program may do wrong, these rows cannot be."""
    for is_default in (True, False):
        await address.add(ann.id, HOME, is_default=is_default)
    await preferences.say(ann.id, Wishes(locale="de"))

    with pytest.raises(asyncpg.IntegrityConstraintViolationError):
        await fetch("users", statement)
