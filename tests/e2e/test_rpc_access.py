"""Every RPC for every caller on the running services: each method lets in whom the table says, and nobody else."""

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from soms.config import Settings
from soms.discovery import discovering
from soms.tokens import service_token

PROTOS = Path(__file__).parents[2] / "protos/soms/v1"
EVERY = {method: path.stem for path in PROTOS.glob("*.proto") for method in re.findall(r"rpc (\w+)\(", path.read_text())}
REFUSED = {"unauthenticated", "forbidden"}


def words(text: str) -> set[str]:
    """The words of a text."""
    return set(text.split())


ANYBODY = words("RegisterUser Login RefreshToken Logout RequestPasswordReset ConfirmPasswordReset GetKeySet")
ANYBODY |= words("GetProduct ListProducts ListPrices")
CUSTOMER = ANYBODY | words("GetUser UpdateUser AnonymiseUser ListAddresses GetAddress CreateAddress UpdateAddress DeleteAddress")
CUSTOMER |= words("GetPreferences SetPreferences PlaceOrder GetOrder ListOrders ListTimeline CancelOrder PayOrder ClaimKey")
STAFF = CUSTOMER | words(
    "EnterOrder ImportOrders ListUsers CreateProduct UpdateProduct GetStock AdjustStock ListMovements ShipOrder DeliverOrder ReturnOrder"
)
ALLOWED = {
    "nobody": ANYBODY,
    "forger": ANYBODY,
    "customer": CUSTOMER,
    "staff": STAFF,
    "admin": STAFF | {"SetRoles"},
    "service": ANYBODY | words("GetContact ListContacts StopChannel IssueToken ReserveStock SettleStock ResolveOrder GetOrder"),
}


@pytest.fixture
async def channels(stack: Any) -> AsyncIterator[dict[str, grpc.aio.Channel]]:
    """A channel to each service, by its noun."""
    found = {}
    async with discovering(Settings(home=stack.home)) as directory:
        for noun in set(EVERY.values()):
            # those that other tests killed stay in the registry for a while
            await stack.until(lambda noun=noun: len(directory.instances(f"{noun.upper()}-SERVICE")) == 1)
            (instance,) = directory.instances(f"{noun.upper()}-SERVICE")
            found[noun] = grpc.aio.insecure_channel(f"{instance.host}:{instance.port}")
    yield found
    for channel in found.values():
        await channel.close()


async def let_in(channel: grpc.aio.Channel, route: str, token: str) -> bool:
    """Whether a call without anything in it gets further than the question who is calling."""
    call: Any = channel.unary_unary(route)
    try:
        await call(b"", timeout=10, metadata=[("authorization", f"Bearer {token}")] if token else [])
    except grpc.aio.AioRpcError as refusal:
        known, info = refusal.code() not in {StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.UNIMPLEMENTED}, ErrorInfo()
        details = Status.FromString(dict(refusal.trailing_metadata() or ())["grpc-status-details-bin"]).details
        found = [info.reason for detail in details if detail.Unpack(info)]
        return known and found[0] not in REFUSED
    return True


@pytest.mark.parametrize("caller", ALLOWED)
async def test_every_method_for_every_caller(stack: Any, channels: dict[str, grpc.aio.Channel], caller: str) -> None:
    """Nobody, a forger, a customer, staff, an admin and a service get each as far as the table says."""
    token = ""
    if caller in {"customer", "staff", "admin"}:
        token = await stack.issue(f"rpc-{caller}-{time.time_ns()}@example.org", caller)
    elif caller == "forger":
        token = (await stack.issue("rpc-admin@example.org", "admin"))[:-8] + "AAAAAAAA"
    elif caller == "service":
        token = service_token(Settings(home=stack.home), "test")
    admitted = {method for method, noun in EVERY.items() if await let_in(channels[noun], f"/soms.v1.{noun.title()}Service/{method}", token)}

    assert admitted == ALLOWED[caller]


def test_no_method_is_forgotten() -> None:
    """The table names every method of protos/."""
    assert set().union(*ALLOWED.values()) == set(EVERY)
