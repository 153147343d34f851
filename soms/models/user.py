"""Users: all that schema `users` keeps of people, how it is forgotten, and how long it is kept."""

from typing import Final
from uuid import UUID

from soms.events import UserAnonymised
from soms.models import profile, session, throttle
from soms.models.address import Address
from soms.models.credential import Credential, PasswordReset
from soms.models.database import fetch, transaction
from soms.models.outbox import Outbox, append
from soms.models.preferences import Preferences
from soms.models.profile import Role, User
from soms.models.session import RefreshToken, Session
from soms.models.throttle import FailedLogins


class UserOutbox(Outbox):
    """Events of users on their way to Kafka."""

    class Meta:
        """Schema users."""

        table = "outbox"


# where Tortoise finds the tables
__models__ = [User, Credential, PasswordReset, Session, RefreshToken, FailedLogins, Address, Preferences, UserOutbox]

# what is of no use any more, with the index that finds it, so many rows at a time
EXPIRED: Final = (
    "delete from session where id in (select id from session where expires_at < now() limit 1000)",
    "delete from password_reset where hash in (select hash from password_reset where expires_at < now() limit 1000)",
    f"""delete from refresh_token where hash in
        (select hash from refresh_token where used_at < now() - interval '{session.GRACE_SECONDS} seconds' limit 1000)""",
    f"""delete from failed_logins where subject in
        (select subject from failed_logins where newest < now() - interval '{throttle.WINDOW_MINUTES} minutes' limit 1000)""",
)


async def anonymise(user_id: UUID, if_version: int | None = None) -> None:
    """Forget who somebody is: their row stays for the books, nameless; their e-mail may be registered again.

    Raises NotFound, Aborted (`stale_version`), and FailedPrecondition (`last_admin`).
    """
    async with transaction("users"):
        await profile.keep_an_admin(user_id)
        user = await profile.locked(user_id, if_version)
        await throttle.forget(user.email or "")
        for kept in (Credential, PasswordReset, Session, Address, Preferences):
            await kept.filter(user_id=user.id).delete()
        user.update_from_dict({"email": None, "name": "", "phone": None, "roles": [Role.CUSTOMER.value], "version": user.version + 1})
        await user.save()
        await append("users", UserAnonymised(version=user.version, user_id=user.id))


async def prune() -> None:
    """Delete a bounded number of rows that are of no use any more; for a loop to call."""
    for statement in EXPIRED:
        await fetch("users", statement)
