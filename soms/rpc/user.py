"""The user service: `python -m soms.rpc.user`. Converts messages, calls the domain, converts back; signs access tokens."""

import contextlib
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

import orjson

from soms.config import Settings
from soms.discovery import Directory
from soms.errors import NotFound, PermissionDenied
from soms.models import address, credential, preferences, profile, session
from soms.models import user as users
from soms.models.credential import Grant, NewPassword
from soms.models.database import connected
from soms.models.profile import ProfileChange, Registration, User
from soms.pulse import Pulse
from soms.rpc import context
from soms.rpc import user_messages as messages
from soms.rpc.access import allows
from soms.rpc.gen.soms import v1
from soms.rpc.server import serve
from soms.tokens import ACCESS, Signer

PRUNE_SECONDS: Final = 60.0


class UserServicer(v1.UserServiceBase):
    """`soms.v1.UserService`."""

    def __init__(self, settings: Settings) -> None:
        """Load the keys that sign access tokens, and the one that refresh tokens are derived with."""
        self._signer = Signer(settings)
        self._refresh_key = settings.secret("refresh-key").encode()

    @allows("anyone")
    async def register_user(self, message: v1.RegisterUserRequest) -> v1.RegisterUserResponse:
        """Make an account."""
        return v1.RegisterUserResponse(messages.user(await credential.register(*messages.registration(message))))

    @allows("anyone")
    async def login(self, message: v1.LoginRequest) -> v1.LoginResponse:
        """Begin a session."""
        asked, call = messages.Credentials(email=message.email, password=message.password), context.current()
        client_address = message.client_address or (call and call.client_address) or ""
        granted = await credential.login(asked.email, asked.password, client_address)
        return v1.LoginResponse(self._tokens(granted))

    @allows("anyone")
    async def refresh_token(self, message: v1.RefreshTokenRequest) -> v1.RefreshTokenResponse:
        """Go on with a session."""
        granted = await credential.carry_on(self._refresh_key, message.refresh_token)
        return v1.RefreshTokenResponse(self._tokens(granted))

    @allows("anyone")
    async def logout(self, message: v1.LogoutRequest) -> v1.LogoutResponse:
        """End a session, if it is one."""
        await session.end(message.refresh_token)
        return v1.LogoutResponse()

    @allows("anyone")
    async def request_password_reset(self, message: v1.RequestPasswordResetRequest) -> v1.RequestPasswordResetResponse:
        """Have a reset token sent, if there is such an account."""
        await credential.request_reset(messages.Account(email=message.email).email)
        return v1.RequestPasswordResetResponse()

    @allows("anyone")
    async def confirm_password_reset(self, message: v1.ConfirmPasswordResetRequest) -> v1.ConfirmPasswordResetResponse:
        """Set a new password."""
        await credential.confirm_reset(message.token, NewPassword(password=message.password))
        return v1.ConfirmPasswordResetResponse()

    @allows("customer")
    async def get_user(self, message: v1.GetUserRequest) -> v1.GetUserResponse:
        """A profile; somebody else's for staff alone."""
        user_id = messages.identity(message.id) if message.id else _caller_id()
        if user_id != _caller_id() and not context.caller().roles & {"staff", "admin"}:
            raise NotFound("there is no such person or address")
        return v1.GetUserResponse(messages.user(await profile.found(id=user_id)))

    @allows("staff")
    async def list_users(self, message: v1.ListUsersRequest) -> v1.ListUsersResponse:
        """A page of profiles."""
        words = messages.Search(q=message.query).q
        found, token = await profile.search(words, message.page_size, message.page_token)
        return v1.ListUsersResponse([messages.user(user) for user in found], token)

    @allows("customer")
    async def update_user(self, message: v1.UpdateUserRequest) -> v1.UpdateUserResponse:
        """Change the caller's profile."""
        change = ProfileChange(name=message.name, phone=message.phone)
        return v1.UpdateUserResponse(messages.user(await profile.update(_caller_id(), change, message.if_version)))

    @allows("customer")
    async def anonymise_user(self, message: v1.AnonymiseUserRequest) -> v1.AnonymiseUserResponse:
        """Forget who the caller is."""
        await users.anonymise(_caller_id(), message.if_version)
        return v1.AnonymiseUserResponse()

    @allows("admin")
    async def set_roles(self, message: v1.SetRolesRequest) -> v1.SetRolesResponse:
        """Decide what somebody may do."""
        user = await profile.set_roles(messages.identity(message.id), message.roles, message.if_version)
        return v1.SetRolesResponse(messages.user(user))

    @allows("customer")
    async def list_addresses(self, message: v1.ListAddressesRequest) -> v1.ListAddressesResponse:
        """A page of the caller's address book."""
        found, token = await address.book(_caller_id(), message.page_size, message.page_token)
        return v1.ListAddressesResponse([messages.address(entry) for entry in found], token)

    @allows("customer")
    async def get_address(self, message: v1.GetAddressRequest) -> v1.GetAddressResponse:
        """One address of the caller."""
        return v1.GetAddressResponse(messages.address(await address.entry(_caller_id(), messages.identity(message.id))))

    @allows("customer")
    async def create_address(self, message: v1.CreateAddressRequest) -> v1.CreateAddressResponse:
        """Add an address."""
        asked = message.address or v1.Address()
        added = await address.add(_caller_id(), messages.place(asked), is_default=asked.is_default)
        return v1.CreateAddressResponse(messages.address(added))

    @allows("customer")
    async def update_address(self, message: v1.UpdateAddressRequest) -> v1.UpdateAddressResponse:
        """Change an address of the caller."""
        entry_id, changes = messages.identity(message.id), messages.address_changes(message)
        return v1.UpdateAddressResponse(messages.address(await address.change(_caller_id(), entry_id, changes, message.if_version)))

    @allows("customer")
    async def delete_address(self, message: v1.DeleteAddressRequest) -> v1.DeleteAddressResponse:
        """Remove an address of the caller."""
        await address.remove(_caller_id(), messages.identity(message.id), message.if_version)
        return v1.DeleteAddressResponse()

    @allows("customer")
    async def get_preferences(self, message: v1.GetPreferencesRequest) -> v1.GetPreferencesResponse:
        """How the caller wants to hear from us."""
        return v1.GetPreferencesResponse(messages.preferences(await preferences.of(_caller_id())))

    @allows("customer")
    async def set_preferences(self, message: v1.SetPreferencesRequest) -> v1.SetPreferencesResponse:
        """Set how the caller wants to hear from us."""
        wishes = messages.wishes(message.preferences or v1.Preferences())
        return v1.SetPreferencesResponse(messages.preferences(await preferences.say(_caller_id(), wishes, message.if_version)))

    @allows("service")
    async def get_contact(self, message: v1.GetContactRequest) -> v1.GetContactResponse:
        """How to reach somebody."""
        user = await profile.found(id=messages.identity(message.id))
        return v1.GetContactResponse(messages.user(user), messages.preferences(await preferences.of(user.id)))

    @allows("service")
    async def list_contacts(self, message: v1.ListContactsRequest) -> v1.ListContactsResponse:
        """How to reach those who are named, or who hold a role."""
        wanted = messages.identities(message.user_ids)
        found = await (preferences.of_people(wanted) if message.user_ids else preferences.of_team(message.roles))
        return v1.ListContactsResponse([v1.GetContactResponse(messages.user(user), messages.preferences(wants)) for user, wants in found])

    @allows("service")
    async def stop_channel(self, message: v1.StopChannelRequest) -> v1.StopChannelResponse:
        """Bring somebody nothing more by a channel."""
        await preferences.stop(messages.identity(message.id), message.channel)
        return v1.StopChannelResponse()

    @allows("service")
    async def issue_token(self, message: v1.IssueTokenRequest) -> v1.IssueTokenResponse:
        """An access token for a script, and the account it needs."""
        account = Registration(email=message.email, name=message.name or message.email.partition("@")[0])
        new = NewPassword(password=message.password) if message.password is not None else None
        user = await credential.issue(account, new, message.role)
        return v1.IssueTokenResponse(self._signed(user), messages.user(user))

    @allows("anyone")
    async def get_key_set(self, message: v1.GetKeySetRequest) -> v1.GetKeySetResponse:
        """The public keys of access tokens."""
        return v1.GetKeySetResponse(orjson.dumps(self._signer.jwks).decode())

    def _tokens(self, granted: Grant) -> v1.Tokens:
        return v1.Tokens(self._signed(granted.user), ACCESS.lifetime_seconds, granted.refresh_token)

    def _signed(self, user: User) -> str:
        return self._signer.access_token(user.id, user.roles, user.email)


def _caller_id() -> UUID:
    user_id = context.caller().user_id
    if user_id is None:
        raise PermissionDenied("for people only")
    return user_id


@contextlib.asynccontextmanager
async def user_service(settings: Settings, _: Directory) -> AsyncIterator[UserServicer]:
    """The servicer with its database and its loop."""
    async with connected(settings, "users"):
        servicer = UserServicer(settings)
        async with Pulse("pruning what has expired", users.prune, PRUNE_SECONDS).running():
            yield servicer


if __name__ == "__main__":
    serve("user", user_service)
