"""The dashboard's page and session: what the cookies are good for, and for whom."""

from http.cookies import SimpleCookie
from typing import Any

import pytest

from soms.errors import Unauthenticated, Unavailable
from soms.rpc.gen.soms import v1

SIGN_IN = {"email": "ada@example.com", "password": "correct horse battery"}
SESSION = "//dashboard/session"


@pytest.fixture
def signed_in(services: Any, token: Any) -> str:
    """The access token that the user service gives staff."""
    made: str = token("staff")
    tokens = v1.Tokens(access_token=made, expires_in=600, refresh_token="refresh-1")
    services.users.answers["login"] = v1.LoginResponse(tokens=tokens)
    services.users.answers["refresh_token"] = v1.RefreshTokenResponse(tokens=tokens)
    return made


def cookies(reply: Any) -> SimpleCookie:
    """The cookies that an answer sets, under their names without the port."""
    found = SimpleCookie()
    for line in reply.headers.getall("Set-Cookie", []):
        found.load(line)
    return SimpleCookie({name.rpartition("_")[0]: morsel for name, morsel in found.items()})


def sent(reply: Any, **more: str) -> dict[str, str]:
    """Headers of a browser that keeps the cookies of an answer."""
    kept = [line.partition(";")[0] for line in reply.headers.getall("Set-Cookie")]
    return {"Cookie": "; ".join(kept)} | {name.replace("_", "-"): value for name, value in more.items()}


async def test_signing_in(client: Any, signed_in: str) -> None:
    """The page gets an access token; scripts get neither cookie, nor do other sites or other paths."""
    reply = await client("POST", SESSION, json=SIGN_IN)
    found = cookies(reply)

    assert (reply.status, reply.json["access_token"], reply.json["expires_in"]) == (200, signed_in, 600)
    assert (reply.json["email"], reply.json["time_zone"]) == ("ada@example.com", "UTC")
    assert b"refresh" not in reply.body
    assert (found["soms_access"].value, found["soms_access"]["path"]) == (signed_in, "/api/v1/analytics")
    assert (found["soms_refresh"].value, found["soms_refresh"]["path"]) == ("refresh-1", "/dashboard/session")
    assert all(one["httponly"] and one["samesite"] == "Strict" and not one["secure"] for one in found.values())


async def test_behind_tls(client: Any, signed_in: str) -> None:
    """Where the browser speaks TLS, cookies travel in nothing else."""
    reply = await client("POST", SESSION, json=SIGN_IN, headers={"X-Forwarded-Proto": "https"})

    assert all(one["secure"] for one in cookies(reply).values())


async def test_the_cookie_serves_for_figures(client: Any, signed_in: str) -> None:
    """GET of analytics takes the cookie for a token, and nothing else does."""
    headers = sent(await client("POST", SESSION, json=SIGN_IN))

    assert (await client("GET", "/analytics/live", headers=headers)).status == 200
    assert (await client("GET", "/analytics/stream", headers=headers)).status == 200
    assert (await client("GET", "/orders", headers=headers)).problem == (401, "unauthenticated")
    assert (await client("POST", "/webhooks", headers=headers, json={})).problem == (401, "unauthenticated")


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_other_sites_cannot_use_the_cookie(client: Any, signed_in: str, site: str) -> None:
    """A browser that says that another page asks is not heard."""
    headers = sent(await client("POST", SESSION, json=SIGN_IN), Sec_Fetch_Site=site)

    assert (await client("GET", "/analytics/live", headers=headers)).problem == (401, "unauthenticated")
    assert (await client("PUT", SESSION, headers=headers)).status == 204


async def test_a_header_goes_before_the_cookie(client: Any, signed_in: str, token: Any) -> None:
    """Who sends both is whom the header names, even if it does not hold."""
    headers = sent(await client("POST", SESSION, json=SIGN_IN))

    assert (await client("GET", "/analytics/live", headers=headers, token="a.b.c")).problem == (401, "unauthenticated")
    assert (await client("GET", "/analytics/live", headers=headers, token=token())).problem == (403, "forbidden")


async def test_renewing(client: Any, services: Any, signed_in: str) -> None:
    """The cookie's refresh token is traded for the next."""
    headers = sent(await client("POST", SESSION, json=SIGN_IN))
    reply = await client("PUT", SESSION, headers=headers)

    assert (reply.status, reply.json["access_token"]) == (200, signed_in)
    assert services.users.asked.refresh_token == "refresh-1"
    assert set(cookies(reply)) == {"soms_access", "soms_refresh"}


async def test_nothing_to_renew(client: Any, services: Any, signed_in: str) -> None:
    """Without a session, or with one that has ended, there is nothing; a service that is away changes nothing."""
    headers = sent(await client("POST", SESSION, json=SIGN_IN))
    services.users.answers["refresh_token"] = Unavailable("away")
    away = await client("PUT", SESSION, headers=headers)
    services.users.answers["refresh_token"] = Unauthenticated(reason="invalid_token")
    ended = await client("PUT", SESSION, headers=headers)

    assert ((await client("PUT", SESSION)).status, ended.status) == (204, 204)
    assert [one["max-age"] for one in cookies(ended).values()] == ["0", "0"]
    assert (away.problem, "Set-Cookie" in away.headers) == ((503, "unavailable"), False)


async def test_signing_out(client: Any, services: Any, signed_in: str) -> None:
    """The session ends with the user service and in the browser."""
    headers = sent(await client("POST", SESSION, json=SIGN_IN))
    reply = await client("DELETE", SESSION, headers=headers)

    assert (reply.status, [one["max-age"] for one in cookies(reply).values()]) == (204, ["0", "0"])
    assert (services.users.calls[-1][0], services.users.asked.refresh_token) == ("logout", "refresh-1")


async def test_customers_have_no_dashboard(client: Any, services: Any, token: Any) -> None:
    """They are told so, and the session that was begun is ended."""
    tokens = v1.Tokens(access_token=token(), expires_in=600, refresh_token="refresh-2")
    services.users.answers["login"] = v1.LoginResponse(tokens=tokens)
    reply = await client("POST", SESSION, json=SIGN_IN)

    assert (reply.problem, "Set-Cookie" in reply.headers) == ((403, "forbidden"), False)
    assert services.users.asked.refresh_token == "refresh-2"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"data": "email=a&password=b", "headers": {"Content-Type": "application/x-www-form-urlencoded"}}, (415, "unsupported_media_type")),
        ({"data": "{}", "headers": {"Content-Type": "text/plain"}}, (415, "unsupported_media_type")),
        ({"json": {"email": "ada@example.com"}}, (422, "validation_failed")),
    ],
)
async def test_forms_of_other_sites_are_refused(client: Any, signed_in: str, more: Any, problem: Any) -> None:
    """What a page elsewhere can have a browser post is not understood."""
    assert (await client("POST", SESSION, **more)).problem == problem


async def test_a_wrong_password(client: Any, services: Any) -> None:
    """The refusal of the user service comes through."""
    services.users.answers["login"] = Unauthenticated(reason="invalid_credentials")

    assert (await client("POST", SESSION, json=SIGN_IN)).problem == (401, "invalid_credentials")


async def test_sessions_count(client: Any, gateway: Any) -> None:
    """Requests of the page's session count for the address, as all others do."""
    from soms.web.limits import RateLimit

    gateway._addresses = RateLimit(1)

    assert (await client("PUT", SESSION)).status == 204
    assert (await client("PUT", SESSION)).problem == (429, "rate_limited")
