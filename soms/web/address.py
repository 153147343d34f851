"""The address book of an account."""

from typing import Final, NotRequired

from typing_extensions import TypedDict

from soms.rpc.gen.soms import v1
from soms.values import Country, Line, OptionalLine
from soms.web.auth import Access
from soms.web.paging import Items, Paging
from soms.web.routes import Answer, Request, route
from soms.web.shapes import Uuid, filled, given, shape

EXAMPLE: Final = {"name": "Ada Lovelace", "line1": "12 St James's Square", "city": "London", "postal_code": "SW1Y 4JH", "country": "GB"}


@shape(EXAMPLE)
class NewAddress(TypedDict):
    """An address to add; the first one is the default whatever it says."""

    name: Line
    line1: Line
    line2: NotRequired[OptionalLine | None]
    city: Line
    region: NotRequired[OptionalLine | None]
    postal_code: NotRequired[OptionalLine | None]
    country: Country
    phone: NotRequired[OptionalLine | None]
    is_default: NotRequired[bool]


@shape({"line1": "10 Downing Street"})
class AddressChanges(TypedDict, total=False):
    """What shall change; null empties what may be empty."""

    name: Line
    line1: Line
    line2: OptionalLine | None
    city: Line
    region: OptionalLine | None
    postal_code: OptionalLine | None
    country: Country
    phone: OptionalLine | None
    is_default: bool


@shape()
class AddressPaging(Paging, total=False):
    """Which addresses to list."""


class Address(TypedDict):
    """A postal address; country as ISO 3166-1 alpha-2 has it."""

    id: Uuid
    name: str
    line1: str
    line2: str
    city: str
    region: str
    postal_code: str
    country: str
    phone: str
    is_default: bool


@route("GET", "/users/me/addresses", Access.CUSTOMER)
async def list_addresses(request: Request[AddressPaging]) -> Answer[Items[Address]]:
    """One's own addresses, newest first."""
    page = request.page
    answer = await request.services.users.list_addresses(v1.ListAddressesRequest(page_size=page.size, page_token=page.token))
    return Answer(page.of((_address(address).body for address in answer.addresses), answer.next_page_token))


@route("POST", "/users/me/addresses", Access.CUSTOMER, status=201, tagged=True, reasons=("too_many_addresses",))
async def add_address(request: Request[NewAddress]) -> Answer[Address]:
    """Add an address."""
    message = v1.CreateAddressRequest(address=v1.Address(**filled(request.input)))
    answer = _address((await request.services.users.create_address(message)).address)
    answer.location = f"/users/me/addresses/{answer.body['id']}"
    return answer


@route("GET", "/users/me/addresses/{id}", Access.CUSTOMER, tagged=True)
async def show_address(request: Request[None]) -> Answer[Address]:
    """One address."""
    return _address((await request.services.users.get_address(v1.GetAddressRequest(id=request.path["id"]))).address)


@route("PATCH", "/users/me/addresses/{id}", Access.CUSTOMER, tagged=True)
async def change_address(request: Request[AddressChanges]) -> Answer[Address]:
    """Change an address; what is left out stays."""
    changes = filled(request.input)
    message = v1.UpdateAddressRequest(id=request.path["id"], if_version=request.if_version, **changes)
    return _address((await request.services.users.update_address(message)).address)


@route("DELETE", "/users/me/addresses/{id}", Access.CUSTOMER, status=204, tagged=True)
async def delete_address(request: Request[None]) -> Answer[None]:
    """Remove an address; when the default goes, the newest one left takes its place."""
    await request.services.users.delete_address(v1.DeleteAddressRequest(id=request.path["id"], if_version=request.if_version))
    return Answer(None)


def _address(message: v1.Address | None) -> Answer[Address]:
    address = given(message)
    body = Address(
        id=address.id,
        name=address.name,
        line1=address.line1,
        line2=address.line2,
        city=address.city,
        region=address.region,
        postal_code=address.postal_code,
        country=address.country,
        phone=address.phone,
        is_default=address.is_default,
    )
    return Answer(body, address.version)


ROUTES: Final = (list_addresses, add_address, show_address, change_address, delete_address)
