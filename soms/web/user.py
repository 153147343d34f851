"""Accounts: registering, one's own profile, and what staff see and admins decide."""

from typing import Final, Literal, NotRequired

from typing_extensions import TypedDict

from soms.rpc.gen.soms import v1
from soms.values import Email, Line, OptionalLine, Password, Phone
from soms.web.auth import Access
from soms.web.paging import Items, Paging
from soms.web.routes import Answer, Request, route
from soms.web.shapes import Timestamp, Uuid, Version, filled, given, shape, timestamp

HASHING_SECONDS: Final = 5.0
Role = Literal["customer", "staff", "admin"]


@shape({"email": "ada@example.com", "password": "correct horse battery", "name": "Ada Lovelace", "phone": "+442079460000"})
class Registration(TypedDict):
    """A new account; passwords have 10 to 256 bytes."""

    email: Email
    password: Password
    name: Line
    phone: NotRequired[Phone | None]


@shape({"name": "Ada King", "phone": None})
class UserChanges(TypedDict, total=False):
    """What shall change; null takes the telephone number away."""

    name: Line
    phone: Phone | None


@shape({"roles": ["staff"]})
class Roles(TypedDict):
    """The roles somebody shall have; `customer` is understood."""

    roles: list[Role]


@shape()
class UserFilters(Paging, total=False):
    """Which accounts to list."""

    q: OptionalLine


class User(TypedDict):
    """An account."""

    id: Uuid
    email: str
    name: str
    phone: str | None
    roles: list[str]
    version: Version
    created_at: Timestamp


@route("POST", "/auth/register", Access.SIGNING_IN, status=201, tagged=True, seconds=HASHING_SECONDS, reasons=("email_taken",))
async def register(request: Request[Registration]) -> Answer[User]:
    """Make an account; everyone registered is a customer."""
    answer = _user((await request.services.users.register_user(v1.RegisterUserRequest(**request.input))).user)
    answer.location = f"/users/{answer.body['id']}"
    return answer


@route("GET", "/users/me", Access.CUSTOMER, tagged=True)
async def show_me(request: Request[None]) -> Answer[User]:
    """One's own profile."""
    return _user((await request.services.users.get_user(v1.GetUserRequest())).user)


@route("PATCH", "/users/me", Access.CUSTOMER, tagged=True)
async def change_me(request: Request[UserChanges]) -> Answer[User]:
    """Change one's own profile; what is left out stays."""
    message = v1.UpdateUserRequest(if_version=request.if_version, **filled(request.input))
    return _user((await request.services.users.update_user(message)).user)


@route("DELETE", "/users/me", Access.CUSTOMER, status=204, tagged=True, reasons=("last_admin",))
async def delete_me(request: Request[None]) -> Answer[None]:
    """Have one's own account forgotten; the books stay, without a name."""
    await request.services.users.anonymise_user(v1.AnonymiseUserRequest(if_version=request.if_version))
    return Answer(None)


@route("GET", "/users", Access.STAFF)
async def list_users(request: Request[UserFilters]) -> Answer[Items[User]]:
    """Accounts, newest first; `q` looks into e-mail and name."""
    page = request.page
    message = v1.ListUsersRequest(page_size=page.size, page_token=page.token, query=request.input.get("q", ""))
    answer = await request.services.users.list_users(message)
    return Answer(page.of((_user(user).body for user in answer.users), answer.next_page_token))


@route("GET", "/users/{id}", Access.STAFF, tagged=True)
async def show_user(request: Request[None]) -> Answer[User]:
    """One account."""
    return _user((await request.services.users.get_user(v1.GetUserRequest(id=request.path["id"]))).user)


@route("PUT", "/users/{id}/roles", Access.ADMIN, tagged=True, reasons=("last_admin",))
async def set_roles(request: Request[Roles]) -> Answer[User]:
    """Decide what roles somebody has."""
    roles = sorted(map(str, {*request.input["roles"], "customer"}))
    message = v1.SetRolesRequest(id=request.path["id"], roles=roles, if_version=request.if_version)
    return _user((await request.services.users.set_roles(message)).user)


def _user(message: v1.User | None) -> Answer[User]:
    user = given(message)
    body = User(
        id=user.id,
        email=user.email,
        name=user.name,
        phone=user.phone,
        roles=user.roles,
        version=user.version,
        created_at=timestamp(user.created_at),
    )
    return Answer(body, user.version)


ROUTES: Final = (register, show_me, change_me, delete_me, list_users, show_user, set_roles)
