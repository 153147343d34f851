"""Asking a gRPC server at a known address whether it serves (the standard health service). Knows no registry."""

import asyncio

from grpclib.client import Channel
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.health.v1.health_grpc import HealthStub
from grpclib.health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse


async def serving(host: str, port: int, timeout_seconds: float) -> bool:
    """Whether it says SERVING within the time."""
    async with Channel(host, port) as channel:
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await HealthStub(channel).Check(HealthCheckRequest())
        except (OSError, TimeoutError, GRPCError, StreamTerminatedError):
            return False
    return bool(answer.status == HealthCheckResponse.SERVING)
