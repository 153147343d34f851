"""`soms outbox`: what waits on its way to Kafka, and sending again what was there."""
# ruff: noqa: PLC0415 imports what a command needs when it runs
# ruff: noqa: D301 the character \b keeps click from joining the lines of an example

import asyncio
import datetime as dt
import re

import click

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Moment(click.ParamType):
    """A time: how long ago (`90s`, `30m`, `2h`, `7d`), or as ISO 8601 with a zone, UTC without."""

    name = "time"

    def convert(self, value: str | dt.datetime, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:
        """The time with its zone."""
        if isinstance(value, dt.datetime):
            return value
        if found := re.fullmatch(r"(\d{1,6})([smhd])", value):
            return dt.datetime.now(dt.UTC) - dt.timedelta(**{UNITS[found[2]]: int(found[1])})
        try:
            moment = dt.datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is neither like 2h nor like 2026-01-31T12:00Z")
        return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


@click.group()
def outbox() -> None:
    """Events on their way to Kafka."""


@outbox.command()
def status() -> None:
    """Show for each schema what waits, for how long, what went in the last minute, and keys that are stuck.

    A key is stuck when its events wait while those of others go; the log of the relay says why.

    \b
    soms outbox status
    """
    from soms.config import settings
    from soms.models import backlog
    from soms.models.database import connected
    from soms.models.outlet import OUTBOXES

    async def states() -> dict[str, backlog.State]:
        async with connected(settings(), *OUTBOXES):
            return {schema: await backlog.state(schema) for schema in OUTBOXES}

    click.echo(f"{'schema':<12}{'waiting':>10}{'oldest':>12}{'last minute':>14}  stuck keys")
    for schema, state in asyncio.run(states()).items():
        oldest = f"{state.oldest_seconds:,.1f} s" if state.oldest_seconds is not None else "-"
        stuck = ", ".join(f"{one.key} ({one.waiting})" for one in state.stuck) or "-"
        click.echo(f"{schema:<12}{state.waiting:>10,}{oldest:>12}{state.published_last_minute:>14,}  {stuck}")


@outbox.command()
@click.option("--since", type=Moment(), help="Events written since then: 2h, 7d, or a time in ISO 8601.")
@click.option("--topic", help="Events of this topic alone.")
@click.option("--key", help="Events of this key alone: an order's id, a SKU, a user's id.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def redrive(since: dt.datetime | None, topic: str | None, key: str | None, *, yes: bool) -> None:
    """Send published events once more, in their order: into a topic that was lost, or for a consumer that missed something.

    Consumers know an event they have had by its id. Events are kept for 7 days after they were published.

    \b
    soms outbox redrive --since 2h
    soms outbox redrive --topic soms.orders --since 2026-01-31T12:00Z --yes
    soms outbox redrive --key 0f9c9d3e-5c3f-8a53-9b33-0a51f4f1a6a5
    """
    from soms.config import settings
    from soms.models import backlog
    from soms.models.database import connected
    from soms.models.outlet import OUTBOXES

    if not (since or topic or key):
        raise click.UsageError("name --since, --topic or --key")
    choice = backlog.Choice(since, topic, key)

    async def again() -> int:
        async with connected(settings(), *OUTBOXES):
            number = sum([await backlog.count(schema, choice) for schema in OUTBOXES])
            if number and not yes:
                await asyncio.to_thread(click.confirm, f"Send {number:,} events again?", abort=True)
            return sum([await backlog.redrive(schema, choice) for schema in OUTBOXES]) if number else 0

    click.echo(f"{asyncio.run(again()):,} events go out again")
