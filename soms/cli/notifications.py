"""`soms notifications`: what was told to whom, and telling it again."""
# ruff: noqa: PLC0415 imports what a command needs when it runs
# ruff: noqa: D301 the character \b keeps click from joining the lines of an example

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import click

STATUSES = ["pending", "sent", "failed", "suppressed", "held"]
CHANNELS = ["email", "sms", "webhook"]
ORDER = click.option("--order", "order_id", type=click.UUID, help="Of this order alone.")
CHANNEL = click.option("--channel", type=click.Choice(CHANNELS), help="By this channel alone.")
LIMIT = click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many, the newest.")


@click.group()
def notifications() -> None:
    """Messages to people and webhooks."""


@notifications.command("list")
@ORDER
@CHANNEL
@LIMIT
@click.option("--status", type=click.Choice(STATUSES), help="In this status alone.")
def list_(order_id: UUID | None, channel: str | None, limit: int, status: str | None) -> None:
    """List notifications, newest first: id, when, status, channel, recipient, event, attempts, and what was said last.

    \b
    soms notifications list --status failed
    soms notifications list --order 0f9c9d3e-5c3f-8a53-9b33-0a51f4f1a6a5
    """
    from soms.logging import CONTROL

    async def show() -> None:
        async for one in _found(order_id, channel, status, limit):
            last = one["attempts"][-1]["detail"] or "" if one["attempts"] else ""
            kind = one["event_type"].removeprefix("soms.")
            said = f"{one['status']:<10} {one['channel']:<7} {one['recipient']}  {kind}  {len(one['attempts'])} attempts  {last}"
            click.echo(f"{one['id']}  {one['created_at'][:19]}  {said}".translate(CONTROL))

    asyncio.run(_connected(show))


@notifications.command()
@click.argument("ids", nargs=-1, type=click.UUID, metavar="[ID]...")
@click.option("--failed", is_flag=True, help="All that were given up, as far as the other options let them.")
@ORDER
@CHANNEL
@LIMIT
def redeliver(ids: tuple[UUID, ...], order_id: UUID | None, channel: str | None, limit: int, *, failed: bool) -> None:
    """Send notifications again, by their ids or all that were given up.

    What was given up goes with all its attempts again, what had arrived once more. What its recipient does not want, or is not kept
    any more, is told of and left; then the exit code is 1.

    \b
    soms notifications redeliver 01a2055a-9d73-77a7-bba7-154ef37fc7a2
    soms notifications redeliver --failed --channel email
    """
    if bool(ids) == failed:
        raise click.UsageError("name either ids or --failed")

    async def send() -> int:
        from soms.errors import SomsError
        from soms.models.notification_log import redeliver

        refused = 0
        chosen = ids or [UUID(one["id"]) async for one in _found(order_id, channel, "failed", limit)]
        for one in chosen:
            try:
                await redeliver(one)
            except SomsError as error:
                click.echo(f"{one}: {error.message}", err=True)
                refused += 1
        click.echo(f"{len(chosen) - refused:,} notifications go out again")
        return refused

    if asyncio.run(_connected(send)):
        raise SystemExit(1)


async def _connected(work: Any) -> Any:
    from soms.config import settings
    from soms.models.database import connected

    async with connected(settings(), "notifications"):
        return await work()


async def _found(order_id: UUID | None, channel: str | None, status: str | None, limit: int) -> AsyncIterator[dict[str, Any]]:
    from soms.models.notification import Channel, Status
    from soms.models.notification_log import Filter, page
    from soms.models.paging import MAXIMUM_SIZE

    wanted = Filter(order_id, Status(status) if status else None, Channel(channel) if channel else None)
    token, left = "", limit
    while left:
        items, token = await page(wanted, min(left, MAXIMUM_SIZE), token)
        for item in items:
            yield item
        left = left - len(items) if token else 0
