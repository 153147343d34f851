"""Address books: where people want their goods. One address of a person is the default, as long as they have any."""

from typing import Any
from uuid import UUID

from tortoise import fields
from tortoise.fields.db_defaults import SqlDefault
from tortoise.models import Model

from soms.errors import FailedPrecondition, InvalidArgument, NotFound
from soms.models import paging, profile
from soms.models.database import outages, transaction
from soms.models.profile import User
from soms.values import PostalAddress

ADDRESSES_LIMIT = 100


class Address(Model):
    """An entry of somebody's address book."""

    id = fields.UUIDField(primary_key=True, default=None, db_default=SqlDefault("uuidv7()"))
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("users.User", related_name="addresses", on_delete=fields.CASCADE)
    name = fields.CharField(max_length=200)
    line1 = fields.CharField(max_length=200)
    line2 = fields.CharField(max_length=200)
    city = fields.CharField(max_length=200)
    region = fields.CharField(max_length=200)
    postal_code = fields.CharField(max_length=200)
    country = fields.CharField(max_length=2)
    phone = fields.CharField(max_length=200)
    is_default = fields.BooleanField()
    version = fields.BigIntField(default=1)
    created_at = fields.DatetimeField(db_default=SqlDefault("clock_timestamp()"))

    class Meta:
        """Schema users."""

        table = "address"


async def book(user_id: UUID, page_size: int, page_token: str) -> tuple[list[Address], str]:
    """A page of somebody's addresses, newest first, and the token of the next. Raises InvalidArgument."""
    return await paging.newest(Address.filter(user_id=user_id), page_size, page_token)


async def entry(user_id: UUID, address_id: UUID) -> Address:
    """One address of somebody. Raises NotFound, also for somebody else's."""
    with outages():
        address = await Address.filter(user_id=user_id, id=address_id).first()
    if address is None:
        raise NotFound("there is no such address")
    return address


async def add(user_id: UUID, place: PostalAddress, *, is_default: bool) -> Address:
    """A new entry; the first one is the default. Raises FailedPrecondition (`too_many_addresses`) when the book is full."""
    async with transaction("users"):
        await profile.locked(user_id)
        entries = await Address.filter(user_id=user_id).count()
        if entries >= ADDRESSES_LIMIT:
            raise FailedPrecondition(f"an address book has room for {ADDRESSES_LIMIT}", reason="too_many_addresses")
        is_default = is_default or not entries
        if is_default:
            await _resign(user_id)
        return await Address.create(user_id=user_id, is_default=is_default, **place.model_dump())


async def change(user_id: UUID, address_id: UUID, changes: dict[str, Any], if_version: int | None = None) -> Address:
    """Change members of an entry; PostalAddress says what they may be, and `is_default` makes it the default.

    Raises NotFound, Aborted (`stale_version`), and InvalidArgument where the default shall just not be it any more.
    """
    async with transaction("users"):
        address = await _held(user_id, address_id, if_version)
        wanted = _members(address) | changes
        if address.is_default and not wanted["is_default"]:
            raise InvalidArgument.field("is_default", "default_needed", "make another address the default instead")
        if wanted == _members(address):
            return address
        if wanted["is_default"] and not address.is_default:
            await _resign(user_id)
        place = PostalAddress.model_validate({name: wanted[name] for name in PostalAddress.model_fields})
        await _keep(address, {**place.model_dump(), "is_default": wanted["is_default"]})
        return address


async def remove(user_id: UUID, address_id: UUID, if_version: int | None = None) -> None:
    """Take an entry away; if it was the default, the newest one left takes its place. Raises NotFound and Aborted (`stale_version`)."""
    async with transaction("users"):
        address = await _held(user_id, address_id, if_version)
        await address.delete()
        if address.is_default:
            for heir in (await book(user_id, 1, ""))[0]:
                await _keep(heir, {"is_default": True})


async def _held(user_id: UUID, address_id: UUID, if_version: int | None) -> Address:
    await profile.locked(user_id)
    address = await entry(user_id, address_id)
    profile.check_version(address.version, if_version)
    return address


async def _resign(user_id: UUID) -> None:
    for former in await Address.filter(user_id=user_id, is_default=True):
        await _keep(former, {"is_default": False})


async def _keep(address: Address, members: dict[str, Any]) -> None:
    address.update_from_dict({**members, "version": address.version + 1})
    await address.save()


def _members(address: Address) -> dict[str, Any]:
    return {name: getattr(address, name) for name in (*PostalAddress.model_fields, "is_default")}
