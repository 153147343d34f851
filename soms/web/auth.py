"""Who is calling, and whether their role suffices. Tokens count in the `Authorization` header alone, never in the query."""

from enum import IntEnum

from aiohttp import web

from soms.errors import PermissionDenied, Unauthenticated
from soms.tokens import Identity, Verifier


class Access(IntEnum):
    """What a route asks of its caller; each step includes the ones before."""

    SIGNING_IN = 0  # the body is the credential: a stale token sent along must not hinder getting a fresh one
    ANYONE = 1  # a token is not needed, but one that is sent must hold
    CUSTOMER = 2
    STAFF = 3
    ADMIN = 4


def bearer(request: web.Request) -> str | None:
    """The token of the one `Authorization: Bearer` header, None without the header; raises Unauthenticated (RFC 6750 §2.1)."""
    headers = request.headers.getall("Authorization", [])
    if not headers:
        return None
    scheme, _, token = headers[0].partition(" ")
    if len(headers) > 1 or scheme.lower() != "bearer" or not token:
        raise Unauthenticated
    return token


def identify(token: str | None, access: Access, verifier: Verifier) -> Identity | None:
    """Whose `token` it is, if the route cares; raises Unauthenticated."""
    if token is not None and access is not Access.SIGNING_IN:
        return verifier.verify(token)
    if access >= Access.CUSTOMER:
        raise Unauthenticated
    return None


def permit(identity: Identity | None, access: Access) -> None:
    """Raise PermissionDenied if the caller's role is below `access`."""
    if identity is not None and rank(identity) < access:
        raise PermissionDenied(f"this takes the role {access.name.lower()}")


def rank(identity: Identity) -> Access:
    """The highest role of a person; everyone registered is a customer."""
    if "admin" in identity.roles:
        return Access.ADMIN
    return Access.STAFF if "staff" in identity.roles else Access.CUSTOMER
