"""Google's own client against our server: calls, errors, deadlines, health, reflection, and the answers to odd clients."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpclib.reflection.v1.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from soms import errors
from soms.config import Settings
from soms.rpc.gen.soms import v1
from soms.rpc.server import serving

ROUTE = "/soms.v1.OrderService/"
SERVICE = "soms.v1.OrderService"


@pytest.fixture
async def channel(served: Any) -> AsyncIterator[grpc.aio.Channel]:
    """A channel of grpcio."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.port}") as channel:
        yield channel


def get_order(channel: grpc.aio.Channel, compression: Any = None, **more: Any) -> Any:
    """A call of GetOrder."""
    method: Callable[..., Any] = channel.unary_unary(f"{ROUTE}GetOrder", bytes, v1.GetOrderResponse.parse)
    return method(v1.GetOrderRequest(id=more.pop("id", "x")), compression=compression, **more)


async def test_calls(channel: grpc.aio.Channel) -> None:
    """A hundred calls at once are answered, each with its own answer."""
    answers = await asyncio.gather(*[get_order(channel, id=str(number)) for number in range(100)])

    assert [answer.order.id for answer in answers] == [str(number) for number in range(100)]


async def test_token_travels_as_metadata(served: Any, channel: grpc.aio.Channel) -> None:
    """An access token in `authorization` is taken from any client."""
    place = channel.unary_unary(f"{ROUTE}PlaceOrder", bytes, v1.PlaceOrderResponse.parse)

    assert (
        await place(v1.PlaceOrderRequest(), metadata=[("authorization", f"Bearer {served.token('customer')}")]) == v1.PlaceOrderResponse()
    )
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await place(v1.PlaceOrderRequest())
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def test_errors_with_details(served: Any, channel: grpc.aio.Channel) -> None:
    """Status, sentence and google.rpc details arrive as this client knows them."""

    async def fail(message: Any) -> Any:
        raise errors.InvalidArgument.field("id", "uuid_parsing", "must be a UUID (schön)")

    served.echo.do = fail
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get_order(channel)

    status = Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"])
    bad = error_details_pb2.BadRequest()
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "id: must be a UUID (schön)"
    assert status.code == 3
    assert any(detail.Unpack(bad) for detail in status.details)
    assert [violation.field for violation in bad.field_violations] == ["id"]


async def test_errors_too_large_for_this_client_lose_their_details(served: Any, channel: grpc.aio.Channel) -> None:
    """A client takes a header list of 16 KiB at most; what it gets fits, and still names status and reason."""

    async def fail(message: Any) -> Any:
        short = [{"sku": f"SKU-{number:05}", "requested": 1, "available": 0} for number in range(1000)]
        raise errors.FailedPrecondition(reason="insufficient_stock", short=short)

    served.echo.do = fail
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get_order(channel)

    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert b"insufficient_stock" in dict(caught.value.trailing_metadata())["grpc-status-details-bin"]


async def test_deadline(served: Any, channel: grpc.aio.Channel) -> None:
    """A deadline ends the call on both sides."""
    ended = asyncio.Event()

    async def hang(message: Any) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    served.echo.do = hang
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get_order(channel, timeout=0.1)

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(2):
        await ended.wait()


async def test_unknown_method_and_compression(channel: grpc.aio.Channel) -> None:
    """Both are UNIMPLEMENTED."""
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await channel.unary_unary("/soms.v1.OrderService/Nothing")(b"")
    with pytest.raises(grpc.aio.AioRpcError) as compressed:
        await get_order(channel, id="x" * 5000, compression=grpc.Compression.Gzip)

    assert unknown.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert compressed.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_message_over_the_limit(channel: grpc.aio.Channel) -> None:
    """RESOURCE_EXHAUSTED, and the next call is served."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get_order(channel, id="x" * (1024 * 1024 + 1))

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await get_order(channel)).order.id == "x"


async def test_health(served: Any, channel: grpc.aio.Channel) -> None:
    """The standard health service tells of the service and of the whole, and those who watch hear of a change."""
    codec = HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    check = channel.unary_unary("/grpc.health.v1.Health/Check", *codec)
    watching = channel.unary_stream("/grpc.health.v1.Health/Watch", *codec)(HealthCheckRequest(service=SERVICE))
    asked = [HealthCheckRequest(service=name) for name in ("", SERVICE)]

    before = [(await check(request)).status for request in asked] + [(await watching.read()).status]
    served.server.health.set(False)
    after = [(await check(request)).status for request in asked] + [(await watching.read()).status]
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await check(HealthCheckRequest(service="nobody"))
    watching.cancel()

    assert (before, after) == ([1, 1, 1], [2, 2, 2])
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


async def reflect(channel: grpc.aio.Channel, version: str, request: Any) -> Any:
    """Ask the reflection service of a version."""
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        ServerReflectionRequest.SerializeToString,
        ServerReflectionResponse.FromString,
    )()
    await call.write(request)
    answer = await call.read()
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    return answer


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection(channel: grpc.aio.Channel, version: str) -> None:
    """The contract can be explored: services by name, their file by symbol."""
    listed = await reflect(channel, version, ServerReflectionRequest(list_services=""))
    asked = [ServerReflectionRequest(file_containing_symbol=name) for name in (SERVICE, "soms.v1.PlaceOrderRequest")]
    asked.append(ServerReflectionRequest(file_by_filename="google/protobuf/timestamp.proto"))
    found = [(await reflect(channel, version, request)).file_descriptor_response.file_descriptor_proto[0] for request in asked]

    assert SERVICE in [service.name for service in listed.list_services_response.service]
    assert [FileDescriptorProto.FromString(data).package for data in found] == ["soms.v1", "soms.v1", "google.protobuf"]


async def test_reflection_can_be_off(served: Any, plain_settings: Settings) -> None:
    """Where the setting says so, nothing is to be explored."""
    closed = plain_settings.model_copy(update={"reflection": False})
    async with serving(served.echo, closed) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")(b"")

        assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert (await get_order(channel)).order.id == "x"


async def test_drain_makes_this_client_reconnect(served: Any, channel: grpc.aio.Channel) -> None:
    """A client in the middle of a call gets its answer from a server that drains."""
    begun, release = asyncio.Event(), asyncio.Event()

    async def wait(message: Any) -> Any:
        begun.set()
        await release.wait()
        return v1.GetOrderResponse(order=v1.Order(id="answered"))

    served.echo.do = wait
    call = asyncio.ensure_future(get_order(channel))
    await begun.wait()
    draining = asyncio.create_task(served.server.drain(5))
    release.set()

    assert (await call).order.id == "answered"
    await draining
