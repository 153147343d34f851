"""`soms analytics`: history made anew from what Kafka keeps."""
# ruff: noqa: PLC0415 imports what a command needs when it runs
# ruff: noqa: D301 the character \b keeps click from joining the lines of an example

import asyncio
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from soms.agents.rebuilding import Rebuilt


@click.group()
def analytics() -> None:
    """Figures of what was."""


@analytics.command("rebuild")
def rebuild_() -> None:
    """Read all orders' events again into a new history, then put it in the place of the old one.

    The old one answers until then, and orders that come meanwhile are in both. Where it is broken off, all stays as it was.
    Runs as the owner of the database.

    \b
    soms analytics rebuild
    soms analytics rebuild && soms audit
    """
    done = asyncio.run(_rebuild())
    click.echo(f"history is rebuilt from {done.records - done.unreadable:,} events")
    if done.unreadable:
        click.echo(f"{done.unreadable:,} more cannot be read; they are among the dead letters: soms dlq list", err=True)


async def _rebuild() -> "Rebuilt":
    from soms.agents.rebuilding import rebuild
    from soms.config import settings
    from soms.models.database import connected

    async with connected(settings(), "analytics"):
        return await rebuild(settings(), lambda count: click.echo(f"{count:,} events read"))
