"""Signing in and out. Passwords and refresh tokens pass through to the user service and are kept nowhere here."""

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints
from typing_extensions import TypedDict

from soms.rpc.gen.soms import v1
from soms.values import Email, Password
from soms.web.auth import Access
from soms.web.routes import Answer, Request, route
from soms.web.shapes import given, shape

SLOW_SECONDS: Final = 5.0
Secret = Annotated[str, StringConstraints(min_length=1, max_length=512)]


@shape({"email": "ada@example.com", "password": "correct horse battery"})
class Credentials(TypedDict):
    """What signs somebody in; the password is as it was chosen, whatever today's rules are."""

    email: Email
    password: Annotated[str, StringConstraints(min_length=1, max_length=256)]


@shape({"refresh_token": "kq3…"})
class RefreshToken(TypedDict):
    """A refresh token of the session."""

    refresh_token: Secret


@shape({"email": "ada@example.com"})
class ResetRequest(TypedDict):
    """Whose password shall be reset."""

    email: Email


@shape({"token": "5vX…", "password": "correct horse battery"})
class ResetConfirmation(TypedDict):
    """The token from the mail and the new password."""

    token: Secret
    password: Password


class Tokens(TypedDict):
    """What a session works with."""

    access_token: Annotated[str, Field(description="Goes into `Authorization: Bearer …`.")]
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Field(description="Seconds until the access token ends.")]
    refresh_token: Annotated[str, Field(description="Good for one POST /auth/refresh.")]


@route("POST", "/auth/login", Access.SIGNING_IN, seconds=SLOW_SECONDS, reasons=("invalid_credentials",))
async def login(request: Request[Credentials]) -> Answer[Tokens]:
    """Sign in with e-mail and password; ten failures in 15 minutes shut the account for as long."""
    answer = await request.services.users.login(v1.LoginRequest(**request.input, client_address=request.address))
    return Answer(_tokens(answer.tokens))


@route("POST", "/auth/refresh", Access.SIGNING_IN, reasons=("invalid_token",))
async def refresh(request: Request[RefreshToken]) -> Answer[Tokens]:
    """Trade a refresh token for the next pair of tokens; one that is used again later ends the session."""
    answer = await request.services.users.refresh_token(v1.RefreshTokenRequest(**request.input))
    return Answer(_tokens(answer.tokens))


@route("POST", "/auth/logout", Access.SIGNING_IN, status=204)
async def logout(request: Request[RefreshToken]) -> Answer[None]:
    """End the session of a refresh token, known or not."""
    await request.services.users.logout(v1.LogoutRequest(**request.input))
    return Answer(None)


@route("POST", "/auth/password-reset", Access.SIGNING_IN, status=202)
async def request_reset(request: Request[ResetRequest]) -> Answer[None]:
    """Have a reset token sent by mail; the answer never tells whether the account exists."""
    await request.services.users.request_password_reset(v1.RequestPasswordResetRequest(**request.input))
    return Answer(None)


@route("POST", "/auth/password-reset/confirm", Access.SIGNING_IN, status=204, seconds=SLOW_SECONDS, reasons=("invalid_token",))
async def confirm_reset(request: Request[ResetConfirmation]) -> Answer[None]:
    """Set a new password with the token from the mail; all sessions end."""
    await request.services.users.confirm_password_reset(v1.ConfirmPasswordResetRequest(**request.input))
    return Answer(None)


def _tokens(message: v1.Tokens | None) -> Tokens:
    tokens = given(message)
    return Tokens(
        access_token=tokens.access_token,
        token_type="Bearer",  # noqa: S106 - the name of a scheme
        expires_in=tokens.expires_in,
        refresh_token=tokens.refresh_token,
    )


ROUTES: Final = (login, refresh, logout, request_reset, confirm_reset)
