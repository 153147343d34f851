"""A real gateway over HTTP, in front of services that say what a test wants them to say."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import aiohttp
import orjson
import pytest
from yarl import URL

from soms.config import Settings
from soms.rpc import context
from soms.rpc.gen.soms import v1
from soms.tokens import Signer, Verifier
from soms.web.app import create_app
from soms.web.gateway import Gateway
from soms.web.readiness import Readiness
from soms.web.server import listening

ADA = UUID("018f0000-0000-7000-8000-00000000ada0")
ID = "018f0000-0000-7000-8000-000000000001"
AT = datetime(2026, 11, 22, 10, tzinfo=UTC)


def samples() -> SimpleNamespace:
    """One message of each noun."""
    place = {"name": "Ada", "line1": "12 St James's Square", "city": "London", "country": "GB"}
    quiet = v1.QuietHours(from_="22:00", to="07:00")
    channel = v1.ChannelPreferences(orders=True)
    return SimpleNamespace(
        order=v1.Order(
            id=ID,
            number="S-1001",
            user_id=str(ADA),
            email="ada@example.com",
            status=v1.OrderStatus.PLACED,
            currency="GBP",
            lines=[v1.OrderLine(sku="TEA", name="Tea", quantity=2, unit_price=850, total=1700)],
            subtotal=1700,
            total=1700,
            shipping_address=v1.ShippingAddress(**place),
            version=1,
            created_at=AT,
            updated_at=AT,
        ),
        entry=v1.TimelineEntry(at=AT, to=v1.OrderStatus.PLACED, actor=v1.Actor(type="customer", id=str(ADA)), version=1),
        user=v1.User(id=str(ADA), email="ada@example.com", name="Ada", roles=["customer"], version=3, created_at=AT),
        tokens=v1.Tokens(access_token="a.b.c", expires_in=600, refresh_token="r"),
        address=v1.Address(id=ID, version=2, is_default=True, **place),
        preferences=v1.Preferences(email=channel, sms=channel, quiet_hours=quiet, time_zone="UTC", locale="en", version=4),
        product=v1.Product(sku="TEA", name="Tea", price=850, currency="GBP", available=7, active=True, version=5),
        price=v1.Price(price=850, currency="GBP", from_=AT),
        stock=v1.Stock(sku="TEA", on_hand=9, reserved=2, available=7, low_threshold=3),
        movement=v1.Movement(id=ID, at=AT, kind="received", delta=9, on_hand=9, reason="first"),
    )


def answers(one: SimpleNamespace) -> dict[str, Any]:
    """What each method of the services answers unless a test says otherwise."""
    user, address = {"user": one.user}, {"address": one.address}
    changes = ("cancel_order", "pay_order", "ship_order", "deliver_order", "return_order")
    changed = {name: getattr(v1, f"{name.title().replace('_', '')}Response")(order=one.order) for name in changes}
    return changed | {
        "register_user": v1.RegisterUserResponse(**user),
        "login": v1.LoginResponse(tokens=one.tokens),
        "refresh_token": v1.RefreshTokenResponse(tokens=one.tokens),
        "logout": v1.LogoutResponse(),
        "request_password_reset": v1.RequestPasswordResetResponse(),
        "confirm_password_reset": v1.ConfirmPasswordResetResponse(),
        "get_user": v1.GetUserResponse(**user),
        "list_users": v1.ListUsersResponse(users=[one.user]),
        "update_user": v1.UpdateUserResponse(**user),
        "anonymise_user": v1.AnonymiseUserResponse(),
        "set_roles": v1.SetRolesResponse(**user),
        "list_addresses": v1.ListAddressesResponse(addresses=[one.address]),
        "get_address": v1.GetAddressResponse(**address),
        "create_address": v1.CreateAddressResponse(**address),
        "update_address": v1.UpdateAddressResponse(**address),
        "delete_address": v1.DeleteAddressResponse(),
        "get_preferences": v1.GetPreferencesResponse(preferences=one.preferences),
        "set_preferences": v1.SetPreferencesResponse(preferences=one.preferences),
        "create_product": v1.CreateProductResponse(product=one.product),
        "get_product": v1.GetProductResponse(product=one.product),
        "list_products": v1.ListProductsResponse(products=[one.product]),
        "update_product": v1.UpdateProductResponse(product=one.product),
        "list_prices": v1.ListPricesResponse(prices=[one.price]),
        "get_stock": v1.GetStockResponse(stock=one.stock),
        "adjust_stock": v1.AdjustStockResponse(stock=one.stock),
        "list_movements": v1.ListMovementsResponse(movements=[one.movement]),
        "place_order": v1.PlaceOrderResponse(order=one.order),
        "get_order": v1.GetOrderResponse(order=one.order),
        "list_orders": v1.ListOrdersResponse(orders=[one.order]),
        "list_timeline": v1.ListTimelineResponse(entries=[one.entry]),
        "claim_key": v1.ClaimKeyResponse(),
    }


@dataclass
class Service:
    """Answers each method with what stands under its name: a message, a coroutine function of the request, or an error to raise."""

    answers: dict[str, Any]
    calls: list[tuple[str, Any, context.Call]] = field(default_factory=list)

    def __getattr__(self, method: str) -> Any:
        async def call(message: Any) -> Any:
            under_way = context.current()
            assert under_way is not None
            self.calls.append((method, message, under_way))
            answer = self.answers[method]
            if isinstance(answer, Exception):
                raise answer
            return await answer(message) if callable(answer) else answer

        return call

    @property
    def asked(self) -> Any:
        """The last request."""
        return self.calls[-1][1]


@pytest.fixture
def gateway_settings(tmp_path: Path) -> Settings:
    """Settings without limits of rate."""
    return Settings(home=tmp_path, rate_limit="off")


@pytest.fixture
def services() -> Any:
    """The three services, which all answer."""
    return SimpleNamespace(users=Service(answers(samples())), products=Service(answers(samples())), orders=Service(answers(samples())))


@pytest.fixture
def token(gateway_settings: Settings) -> Callable[..., str]:
    """`token("staff")`: an access token with these roles."""
    signer = Signer(gateway_settings)
    return lambda *roles, user_id=ADA: signer.access_token(user_id, {"customer", *roles}, "ada@example.com")


@pytest.fixture
def gateway(gateway_settings: Settings, services: Any) -> Gateway:
    """The gateway's inside."""
    return Gateway(gateway_settings, services, Verifier(gateway_settings))


@pytest.fixture
def states() -> dict[str, bool]:
    """What readiness finds; a test may change it."""
    return {"user": True, "product": True, "order": True}


@pytest.fixture
async def url(gateway: Gateway, states: dict[str, bool]) -> AsyncIterator[str]:
    """Where the gateway listens."""

    def probe(name: str) -> Callable[[], Any]:
        async def ask() -> bool:
            return states[name]

        return ask

    async with listening(create_app(gateway, Readiness({name: probe(name) for name in states})), "127.0.0.1", 0) as port:
        yield f"http://127.0.0.1:{port}"


@dataclass
class Reply:
    """An answer, read to its end."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        """The body's value."""
        return orjson.loads(self.body)

    @property
    def problem(self) -> tuple[int, str]:
        """Status and reason of a refusal."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.json["status"] == self.status
        return self.status, self.json["reason"]


@dataclass
class Client:
    """`await client("POST", "/orders", json=…, token=…, key=…)`: paths below /api/v1, or from the root with two slashes."""

    url: str
    session: aiohttp.ClientSession

    async def __call__(self, method: str, path: str, *, token: str | None = None, key: str | None = None, **more: Any) -> Reply:
        """Send a request and read the answer."""
        mine = {"Authorization": token and f"Bearer {token}", "Idempotency-Key": key}
        headers = [*dict(more.pop("headers", {})).items(), *((name, value) for name, value in mine.items() if value)]
        where = path[1:] if path.startswith("//") else f"/api/v1{path}"
        async with self.session.request(method, URL(self.url + where, encoded=True), headers=headers, **more) as answer:
            return Reply(answer.status, answer.headers, await answer.read())


@pytest.fixture
def raw(url: str) -> Callable[..., Awaitable[bytes]]:
    """HTTP by hand and what comes back, 4 KiB of it.

    `await raw("GET /healthz", "Name: value", then=b"…", times=1)` sends the head and, so many times, what then follows.
    """

    async def send(request: str, *headers: str, then: bytes = b"", times: int = 1) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", URL(url).port)
        lines = (f"{request} HTTP/1.1", "Host: soms", *headers, "", "")
        writer.write("\r\n".join(lines).encode("latin-1"))

        async def follow() -> None:
            for _ in range(times):
                writer.write(then)
                await writer.drain()

        following = asyncio.create_task(follow())
        try:
            async with asyncio.timeout(15):
                return await reader.readuntil(b"\r\n\r\n") + await reader.read(4096)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            writer.close()

    return send


@pytest.fixture
async def client(url: str) -> AsyncIterator[Client]:
    """A client of the gateway."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20), connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Client(url, session)
