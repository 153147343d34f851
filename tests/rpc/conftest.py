"""What tests of the plumbing share: a servicer that does what a test says, a registry on paper, and HTTP/2 by hand."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from grpclib.client import Channel
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, Event, ResponseReceived, StreamEnded, StreamReset, TrailersReceived

from soms import tokens
from soms.config import Settings
from soms.discovery import Directory, Instance
from soms.rpc.access import allows
from soms.rpc.answering import Server
from soms.rpc.codec import Codec
from soms.rpc.details import StatusDetails
from soms.rpc.gen.soms import v1
from soms.rpc.server import serving

PERSON = UUID("018f0000-0000-7000-8000-000000000001")
GET_ORDER = "/soms.v1.OrderService/GetOrder"


async def same(message: Any) -> Any:
    """Give the id back."""
    return v1.GetOrderResponse(order=v1.Order(id=getattr(message, "id", "")))


class Echo(v1.OrderServiceBase):
    """An order service whose methods do what the test says; each is open to others."""

    def __init__(self) -> None:
        """Give ids back at first."""
        self.do: Callable[[Any], Awaitable[Any]] = same

    @allows("anyone")
    async def get_order(self, message: v1.GetOrderRequest) -> v1.GetOrderResponse:
        """For anyone."""
        return await self.do(message)  # type: ignore[no-any-return]

    @allows("customer")
    async def place_order(self, message: v1.PlaceOrderRequest) -> v1.PlaceOrderResponse:
        """For customers."""
        await self.do(message)
        return v1.PlaceOrderResponse()

    @allows("staff")
    async def ship_order(self, message: v1.ShipOrderRequest) -> v1.ShipOrderResponse:
        """For staff."""
        return v1.ShipOrderResponse()

    @allows("admin")
    async def claim_key(self, message: v1.ClaimKeyRequest) -> v1.ClaimKeyResponse:
        """For admins."""
        return v1.ClaimKeyResponse()

    @allows("service")
    async def resolve_order(self, message: v1.ResolveOrderRequest) -> v1.ResolveOrderResponse:
        """For services."""
        return v1.ResolveOrderResponse()

    @allows("customer", "service")
    async def cancel_order(self, message: v1.CancelOrderRequest) -> v1.CancelOrderResponse:
        """For customers and services."""
        await self.do(message)
        return v1.CancelOrderResponse()

    @allows("admin")
    async def _closed(self, message: Any) -> Any:
        raise AssertionError

    list_orders = list_timeline = pay_order = deliver_order = return_order = enter_order = import_orders = _closed


class Listing(Directory):
    """A registry on paper: `put` says who is up."""

    def __init__(self) -> None:
        """Nobody is up."""
        super().__init__(same)

    def put(self, name: str, *ports: int) -> None:
        """Say that `name` is up at these ports, and nowhere else."""
        self._instances[name] = tuple(Instance(f"{name}:{port}", "127.0.0.1", port) for port in ports)
        for callback in self._callbacks:
            callback()


@dataclass
class Answer:
    """What came back on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    data: bytes = b""
    reset: int | None = None
    ended: bool = False


class Wire:
    """HTTP/2 by hand: may say what no client library would."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Introduce ourselves."""
        self._reader, self._writer = reader, writer
        lax = dict.fromkeys(("validate_outbound_headers", "normalize_outbound_headers", "validate_inbound_headers"), False)
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="ascii", **lax))
        self.h2.initiate_connection()
        self.answers: dict[int, Answer] = {}
        self.goaway: int | None = None
        self.raw(self.h2.data_to_send())

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)

    def request(self, body: bytes | None = None, *, end: bool = True, path: str = GET_ORDER, **headers: str | Iterable[str]) -> int:
        """Start a call; its stream. Headers named with `_` for `-`; several of one name by a list."""
        number = self.h2.get_next_available_stream_id()
        fields = {"content_type": "application/grpc", "te": "trailers", **headers}
        pairs = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x")]
        for name, value in fields.items():
            pairs += [(name.replace("_", "-"), one) for one in ([value] if isinstance(value, str) else value) if one]
        self.h2.send_headers(number, pairs, end_stream=body is None and end)
        if body is not None:
            self.h2.send_data(number, body, end_stream=end)
        self.raw(self.h2.data_to_send())
        return number

    async def answer(self, number: int, seconds: float = 5) -> Answer:
        """What comes back on a stream, once it has ended."""
        await self._until(lambda: (found := self.answers.get(number)) and (found.ended or found.reset is not None), seconds)
        return self.answers.get(number, Answer())

    async def closed(self, seconds: float = 5) -> int | None:
        """Wait until the server has closed the connection; the code of its GOAWAY."""
        await self._until(lambda: False, seconds)
        return self.goaway

    async def _until(self, done: Callable[[], object], seconds: float) -> None:
        async with asyncio.timeout(seconds):
            while not done():
                try:
                    data = await self._reader.read(65536)
                except ConnectionError:
                    return
                if not data:
                    return
                for event in self.h2.receive_data(data):
                    self._take(event)
                self.raw(self.h2.data_to_send())

    def _take(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self.goaway = int(event.error_code or 0)
            return
        answer = self.answers.setdefault(getattr(event, "stream_id", None) or 0, Answer())
        match event:
            case ResponseReceived() | TrailersReceived():
                answer.headers |= dict(event.headers or ())  # type: ignore[arg-type]
            case DataReceived():
                answer.data += event.data or b""
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
            case StreamEnded():
                answer.ended = True
            case StreamReset():
                answer.reset = int(event.error_code or 0)


@dataclass
class Served:
    """A server under test, with all that is needed to call it."""

    server: Server
    echo: Echo
    settings: Settings

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.port

    async def until(self, condition: Callable[[], object], seconds: float = 5) -> None:
        """Wait for something that happens inside the server."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 - the server does not tell
                await asyncio.sleep(0.005)

    @contextlib.asynccontextmanager
    async def wire(self, port: int = 0) -> AsyncIterator[Wire]:
        """A connection by hand, to another port where one is named."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port or self.port)
        try:
            yield Wire(reader, writer)
        finally:
            writer.transport.abort()

    @contextlib.asynccontextmanager
    async def stub(self) -> AsyncIterator[v1.OrderServiceStub]:
        """A stub on one plain channel of grpclib."""
        async with Channel("127.0.0.1", self.port, codec=Codec(), status_details_codec=StatusDetails()) as channel:
            yield v1.OrderServiceStub(channel, timeout=5)

    async def healthy(self) -> float:
        """Seconds that an innocent client waits for its answer."""
        started = time.monotonic()
        async with self.wire() as wire:
            answer = await wire.answer(wire.request(b"\0\0\0\0\0"))
        assert answer.headers["grpc-status"] == "0"
        return time.monotonic() - started

    async def nothing_left(self) -> None:
        """No call and no connection stays behind."""
        await self.until(lambda: not self.server._calls and not self.server._probes and not self.server._protocols)

    def token(self, *roles: str) -> str:
        """An access token."""
        return tokens.Signer(self.settings).access_token(PERSON, roles, "ann@example.com")

    def bearer(self, *roles: str) -> dict[str, str]:
        """Metadata with an access token."""
        return {"authorization": f"Bearer {self.token(*roles)}"}


@pytest.fixture(scope="session")
def plain_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings of processes that need no engine."""
    return Settings(home=tmp_path_factory.mktemp("plain"))


@pytest.fixture
async def served(plain_settings: Settings) -> AsyncIterator[Served]:
    """A server with an Echo behind it."""
    echo = Echo()
    async with serving(echo, plain_settings) as server:
        yield Served(server, echo, plain_settings)


@pytest.fixture
def listing() -> Listing:
    """An empty registry on paper."""
    return Listing()
