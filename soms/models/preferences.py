"""Preferences: how people want to hear from us. Knows nothing of how they do."""

from collections.abc import Collection
from typing import Any, NamedTuple
from uuid import UUID

from pydantic import Field
from tortoise import fields
from tortoise.models import Model

from soms.errors import NotFound
from soms.models import profile
from soms.models.database import fetch, outages, transaction
from soms.models.profile import User
from soms.values import ClockTime, Locale, TimeZone, Value

TEAM_LIMIT = 500
SAY = """
insert into preferences (user_id, wishes, version) values ($1, $2, $3)
on conflict (user_id) do update set wishes = excluded.wishes, version = excluded.version
"""
# said as the index of those who are not customers alone says it
TEAM = f"""
select id from users where roles && array['staff', 'admin'] and roles && $1::text[] and email is not null order by id limit {TEAM_LIMIT}
"""


class Channel(Value):
    """What may come by a channel: news of somebody's own orders, news of the shop."""

    orders: bool
    news: bool


class QuietHours(Value):
    """Local times between which nothing is sent; `to` before `from` means the next day."""

    from_: ClockTime = Field(alias="from")
    to: ClockTime


class Wishes(Value):
    """All preferences of a person, and what holds for those who never said."""

    email: Channel = Channel(orders=True, news=False)
    sms: Channel = Channel(orders=False, news=False)
    quiet_hours: QuietHours | None = None
    time_zone: TimeZone = "UTC"
    locale: Locale = "en-GB"


class Preferences(Model):
    """The wishes of somebody who said what they are."""

    user: fields.OneToOneRelation[User] = fields.OneToOneField("users.User", primary_key=True, on_delete=fields.CASCADE)
    wishes: dict[str, Any] = fields.JSONField()
    version = fields.BigIntField()

    class Meta:
        """Schema users."""

        table = "preferences"


class Preferred(NamedTuple):
    """Wishes and their version, 1 for those who never said."""

    wishes: Wishes
    version: int


async def of(user_id: UUID) -> Preferred:
    """What somebody wants."""
    with outages():
        said = await Preferences.filter(user_id=user_id).first()
    return _preferred(said)


async def of_team(roles: Collection[str]) -> list[tuple[User, Preferred]]:
    """Staff and admins who hold one of these roles, at most `TEAM_LIMIT` of them, and what they want."""
    return await of_people([row["id"] for row in await fetch("users", TEAM, list(roles))])


async def of_people(user_ids: Collection[UUID]) -> list[tuple[User, Preferred]]:
    """These people, in the order in which they joined, and what they want; unknown and anonymised ones are left out."""
    if not user_ids:
        return []
    with outages():
        people = await User.filter(id__in=user_ids, email__isnull=False).order_by("id")
        said = {one.user_id: one for one in await Preferences.filter(user_id__in=user_ids)}  # type: ignore[attr-defined] # Tortoise's column
    return [(user, _preferred(said.get(user.id))) for user in people]


async def say(user_id: UUID, wishes: Wishes, if_version: int | None = None) -> Preferred:
    """Set what somebody wants, as a whole. Raises NotFound and Aborted (`stale_version`)."""
    async with transaction("users"):
        user = await profile.locked(user_id)
        before = await of(user_id)
        profile.check_version(before.version, if_version)
        if wishes == before.wishes:
            return before
        after = Preferred(wishes, before.version + 1)
        await fetch("users", SAY, user_id, wishes.model_dump_json(by_alias=True), after.version)
        await profile.tell(user)
        return after


async def stop(user_id: UUID, channel: str) -> None:
    """Let nothing more come by `channel` (`email`, `sms`). Raises NotFound, also for a channel there is not."""
    if channel not in {"email", "sms"}:
        raise NotFound("no such channel")
    async with transaction("users"):
        await profile.locked(user_id)
        wishes = (await of(user_id)).wishes
        await say(user_id, wishes.model_copy(update={channel: Channel(orders=False, news=False)}))


def _preferred(said: Preferences | None) -> Preferred:
    return Preferred(Wishes.model_validate(said.wishes), said.version) if said else Preferred(Wishes(), 1)
