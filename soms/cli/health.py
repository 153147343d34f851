"""`soms health`: whether a process at a known port of this machine can do its work; made for health checks of containers."""
# ruff: noqa: PLC0415 imports what a command needs when it runs
# ruff: noqa: D301 the character \b keeps click from joining the lines of an example

import asyncio
from http import HTTPStatus
from typing import Final

import click

ANSWER_SECONDS: Final = 4.0


@click.command()
@click.option("--grpc", is_flag=True, help="A service, which speaks gRPC; otherwise /readyz is asked.")
@click.option("--port", type=click.IntRange(1, 65535), help="By default SOMS_PORT.")
def health(*, grpc: bool, port: int | None) -> None:
    """Ask a process of this machine whether it is ready. The exit code is 0 if it is, else 1.

    \b
    soms health --grpc            user, product and order
    soms health                   agents
    soms health --port 8080       the gateway
    """
    from soms.config import settings

    if not (asked := port or settings().port):
        raise click.UsageError("name the port, or set SOMS_PORT")
    if not ready("127.0.0.1" if settings().host == "0.0.0.0" else settings().host, asked, grpc=grpc):
        raise click.ClickException(f"not ready at port {asked}")


def ready(host: str, port: int, *, grpc: bool) -> bool:
    """What the process says, within four seconds."""
    if grpc:
        from soms.rpc.probe import serving

        return asyncio.run(serving(host, port, ANSWER_SECONDS))
    from soms.local.http import status

    try:
        return status(f"http://{host}:{port}/readyz", ANSWER_SECONDS) == HTTPStatus.OK
    except OSError:
        return False
