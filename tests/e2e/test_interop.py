"""Google's own gRPC client against the running services; of each it knows the name alone: the registry and reflection tell the rest."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from grpclib.reflection.v1.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

PROTOS = Path(__file__).parents[2] / "protos"
NAMES = ("user", "product", "order")
DETAILS = (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo)


class Refused(Exception):
    """What grpcio tells of a call that failed, read as grpc_status reads it: code, sentence, and details by their kind."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self.code = error.code()
        status = Status.FromString(dict(error.trailing_metadata() or ()).get("grpc-status-details-bin", b""))
        self.consistent = (status.code, status.message) == (error.code().value[0], error.details())
        self.details = {kind: kind.FromString(one.value) for one in status.details for kind in DETAILS if one.Is(kind.DESCRIPTOR)}
        super().__init__(f"{self.code} {self.reason}: {error.details()}")

    @property
    def reason(self) -> str:
        """The machine's word; empty where none came."""
        info = self.details.get(error_details_pb2.ErrorInfo)
        return str(info.reason) if info and info.domain == "soms" else ""


class Stranger:
    """A client of one service, which has learned from the service itself what its methods and messages are."""

    def __init__(self, channel: grpc.aio.Channel, service: str) -> None:
        """Nothing is learned yet."""
        self.channel, self.service = channel, service
        self.pool, self.files, self.offered = DescriptorPool(), set[str](), set[str]()

    def described(self, service: str) -> ServiceDescriptor:
        """A service by its full name."""
        return self.pool.FindServiceByName(service)

    async def learn(self) -> None:
        """Explore what is there: names of services, the files that describe them, and all that these need."""
        explore: Any = self.channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            ServerReflectionRequest.SerializeToString,
            ServerReflectionResponse.FromString,
        )
        call = explore(timeout=10)

        async def ask(**question: Any) -> Any:
            await call.write(ServerReflectionRequest(**question))
            return await call.read()

        async def take(answer: Any) -> None:
            (data,) = answer.file_descriptor_response.file_descriptor_proto
            if (file := FileDescriptorProto.FromString(data)).name not in self.files:
                self.files.add(file.name)
                for dependency in file.dependency:
                    await take(await ask(file_by_filename=dependency))
                self.pool.Add(file)

        self.offered = {one.name for one in (await ask(list_services="")).list_services_response.service}
        for service in self.offered:
            await take(await ask(file_containing_symbol=service))
        await call.done_writing()

    async def __call__(self, method: str, token: str = "", timeout_seconds: float = 10, **members: Any) -> Any:
        """Call a method, the service's own or as `service/method`, with a message of these members; raises Refused."""
        service, _, name = (method if "/" in method else f"{self.service}/{method}").partition("/")
        described = self.described(service).methods_by_name[name]
        asked, answered = (GetMessageClass(kind) for kind in (described.input_type, described.output_type))
        call: Any = self.channel.unary_unary(f"/{service}/{name}", asked.SerializeToString, answered.FromString)
        try:
            return await call(asked(**members), timeout=timeout_seconds, metadata=[("authorization", f"Bearer {token}")] if token else [])
        except grpc.aio.AioRpcError as error:
            raise Refused(error) from error


async def found(stack: Any, name: str) -> Stranger:
    """A stranger to the one instance of a service that the registry's own REST interface shows."""

    async def only() -> Any:
        where = f"{stack.engine('eureka')['url']}/apps/{name.upper()}-SERVICE"
        async with stack.session.get(where, headers={"Accept": "application/json"}) as answer:
            up = [one for one in (await answer.json())["application"]["instance"] if one["status"] == "UP"]
            return up[0] if len(up) == 1 else None

    instance = await stack.until(only)
    channel = grpc.aio.insecure_channel(f"{instance['ipAddr']}:{instance['metadata']['gRPC_port']}")
    stranger = Stranger(channel, f"soms.v1.{name.title()}Service")
    await stranger.learn()
    return stranger


@pytest.fixture(scope="module")
async def strangers(stack: Any) -> AsyncIterator[dict[str, Stranger]]:
    """A stranger to each service."""
    known = {name: await found(stack, name) for name in NAMES}
    yield known
    for stranger in known.values():
        await stranger.channel.close()


@pytest.fixture
async def token(stack: Any) -> str:
    """The access token of a customer."""
    return str(await stack.issue("interop@example.org", "customer"))


async def test_health(strangers: dict[str, Stranger]) -> None:
    """The standard health service answers for the whole and for the service by its name, and knows no other."""
    for stranger in strangers.values():
        answers = [await stranger("grpc.health.v1.Health/Check", service=name) for name in ("", stranger.service)]
        with pytest.raises(Refused) as unknown:
            await stranger("grpc.health.v1.Health/Check", service="soms.v1.NobodyService")

        assert [answer.status for answer in answers] == [1, 1]
        assert unknown.value.code is StatusCode.NOT_FOUND


def compiled(folder: Path) -> dict[str, Any]:
    """The files of protos/ by name, as protoc reads them."""
    target, pool = folder / "all.descriptors", DescriptorPool()
    files = [str(path.relative_to(PROTOS)) for path in sorted(PROTOS.rglob("*.proto"))]
    options = [f"-I{PROTOS}", "--include_imports", f"--descriptor_set_out={target}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *files], check=True)
    for file in FileDescriptorSet.FromString(target.read_bytes()).file:
        pool.Add(file)
    return {name: pool.FindFileByName(name) for name in files}


def test_reflection_tells_the_contract(strangers: dict[str, Stranger], tmp_path: Path) -> None:
    """What the services tell of themselves is what protos/ says, to the last field."""
    files = compiled(tmp_path)
    for name, stranger in strangers.items():
        told = stranger.described(stranger.service).file
        assert stranger.offered >= {stranger.service, "grpc.health.v1.Health"}
        assert told.serialized_pb == files[f"soms/v1/{name}.proto"].serialized_pb


async def test_order_without_the_gateway(stack: Any, strangers: dict[str, Stranger], token: str) -> None:
    """An order placed over gRPC is the one REST shows, and its key gives it again, over REST as well."""
    key, lines = f"interop-{time.time_ns()}", [{"sku": "MUG-BLUE", "quantity": 2}]
    placed = await strangers["order"]("PlaceOrder", token, idempotency_key=key, lines=lines)
    again = await strangers["order"]("PlaceOrder", token, idempotency_key=key, lines=lines)
    read = await strangers["order"]("GetOrder", token, id=placed.order.id)
    customer = await stack.client(token=token)
    over_rest = await customer("GET", f"orders/{placed.order.id}")
    crossed = await customer("POST", "orders", {"lines": lines}, Idempotency_Key=key)

    assert (placed.order.currency, placed.order.total, placed.order.email) == ("GBP", 2500, "interop@example.org")
    assert (placed.replayed, again.replayed, again.order, read.order) == (False, True, placed.order, placed.order)
    assert (over_rest.status, over_rest.body["number"], over_rest.body["total"]) == (200, placed.order.number, 2500)
    assert (crossed.status, crossed.body, crossed.headers["Idempotent-Replayed"]) == (201, over_rest.body, "true")


async def test_refusals_have_readable_details(strangers: dict[str, Stranger], token: str) -> None:
    """ErrorInfo names the reason and what it is about, BadRequest the field: any client can act on them."""
    lines = [{"sku": "MUG-BLUE", "quantity": 1_000_000}]
    with pytest.raises(Refused) as short:
        await strangers["order"]("PlaceOrder", token, idempotency_key=f"interop-{time.time_ns()}", lines=lines)
    with pytest.raises(Refused) as wrong:
        await strangers["order"]("PlaceOrder", token, idempotency_key="k", lines=[{"sku": "MUG-BLUE", "quantity": -1}])

    info = short.value.details[error_details_pb2.ErrorInfo]
    assert (short.value.code, info.reason, info.domain) == (StatusCode.FAILED_PRECONDITION, "insufficient_stock", "soms")
    assert "MUG-BLUE" in info.metadata["short"]
    violations = wrong.value.details[error_details_pb2.BadRequest].field_violations
    assert (wrong.value.code, wrong.value.reason) == (StatusCode.INVALID_ARGUMENT, "validation_failed")
    assert [violation.field for violation in violations] == ["lines.0.quantity"]
    assert short.value.consistent
    assert wrong.value.consistent


async def test_deadline(stack: Any, strangers: dict[str, Stranger], token: str) -> None:
    """A deadline reaches as far as the call does: with product frozen it ends in time, and the key still makes one order."""
    asked: dict[str, Any] = {"idempotency_key": f"interop-{time.time_ns()}", "lines": [{"sku": "MUG-BLUE", "quantity": 1}]}
    try:
        stack.kill("product", signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(Refused) as late:
            await strangers["order"]("PlaceOrder", token, timeout_seconds=0.5, **asked)
        took = time.monotonic() - started
    finally:
        stack.kill("product", signal.SIGCONT)

    assert (late.value.code, took < 2) == (StatusCode.DEADLINE_EXCEEDED, True)

    async def placed() -> Any:
        with contextlib.suppress(Refused):
            return await strangers["order"]("PlaceOrder", token, **asked)

    order = (await stack.until(placed)).order
    assert (await strangers["order"]("PlaceOrder", token, **asked)).order.id == order.id
