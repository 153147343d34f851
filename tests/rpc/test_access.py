"""Who may call what, and what is no way to say who one is."""

from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from soms import tokens
from soms.config import Settings
from soms.rpc.access import allows
from soms.rpc.answering import Server
from soms.rpc.gen.soms import v1

METHODS = {
    "customer": ("place_order", v1.PlaceOrderRequest),
    "staff": ("ship_order", v1.ShipOrderRequest),
    "admin": ("claim_key", v1.ClaimKeyRequest),
    "service": ("resolve_order", v1.ResolveOrderRequest),
    "customer or service": ("cancel_order", v1.CancelOrderRequest),
    "anyone": ("get_order", v1.GetOrderRequest),
}
ALLOWED = {
    "customer": {"customer", "staff", "admin"},
    "staff": {"staff", "admin"},
    "admin": {"admin"},
    "service": {"service"},
    "customer or service": {"customer", "staff", "admin", "service"},
    "anyone": {"nobody", "customer", "staff", "admin", "service"},
}


async def outcome(served: Any, stub: v1.OrderServiceStub, rule: str, metadata: Any) -> Status:
    """The status of a call of the method with that rule."""
    name, request = METHODS[rule]
    try:
        await getattr(stub, name)(request(), metadata=metadata)
    except GRPCError as error:
        return error.status
    return Status.OK


@pytest.mark.parametrize("rule", METHODS)
async def test_access_matrix(served: Any, rule: str) -> None:
    """Every rule against every caller: who may is let in, who may not is told so, who does not say is asked."""
    callers = {
        "nobody": {},
        **{role: served.bearer(*{"customer", role}) for role in ("customer", "staff", "admin")},
        "service": {"authorization": f"Bearer {tokens.service_token(served.settings, 'order')}"},
    }
    async with served.stub() as stub:
        found = {caller: await outcome(served, stub, rule, metadata) for caller, metadata in callers.items()}

    for caller, status in found.items():
        stranger = caller == "nobody" or (caller == "service" and "service" not in rule)
        expected = Status.UNAUTHENTICATED if stranger else Status.PERMISSION_DENIED
        assert status is (Status.OK if caller in ALLOWED[rule] else expected), caller


@pytest.mark.parametrize("value", ["", "x", "Bearer", "Bearer ", "Basic eDp5", "Bearer a.b.c", "bearer  a.b.c", "Bearer " + "a" * 9000])
async def test_bad_credentials(served: Any, value: str) -> None:
    """What is no good token is no token: refused where one is needed, ignored where anyone may call."""
    async with served.wire() as wire:
        needed = await wire.answer(wire.request(b"\0\0\0\0\0", path="/soms.v1.OrderService/PlaceOrder", authorization=value))
        open_to_all = await wire.answer(wire.request(b"\0\0\0\0\0", authorization=value))

    assert needed.headers["grpc-status"] == "16"
    assert open_to_all.headers["grpc-status"] == "0"


async def test_two_credentials_are_refused(served: Any) -> None:
    """Two authorization headers are one too many, even where anyone may call and both are good."""
    good = f"Bearer {served.token('customer')}"
    async with served.wire() as wire:
        answer = await wire.answer(wire.request(b"\0\0\0\0\0", authorization=[good, good]))

    assert answer.headers["grpc-status"] == "16"


async def test_token_of_another_key_is_refused(served: Any, tmp_path: Any) -> None:
    """A token signed elsewhere opens nothing."""
    forged = tokens.Signer(Settings(home=tmp_path)).access_token(tokens.UUID(int=1), ["admin"])
    async with served.stub() as stub:
        assert await outcome(served, stub, "admin", {"authorization": f"Bearer {forged}"}) is Status.UNAUTHENTICATED


def test_method_without_rule_keeps_the_server_from_starting(plain_settings: Settings) -> None:
    """A servicer that forgot to say who may call a method is not served."""

    class Forgetful(v1.OrderServiceBase):
        @allows("anyone")
        async def get_order(self, message: v1.GetOrderRequest) -> v1.GetOrderResponse:
            return v1.GetOrderResponse()

    with pytest.raises(TypeError, match="place_order"):
        Server(Forgetful(), plain_settings)
