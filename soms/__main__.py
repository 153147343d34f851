"""The `soms` command. Each command is a small function that imports what it needs when it runs, so that help comes at once."""
# ruff: noqa: PLC0415 as said above
# ruff: noqa: D301 the character \b keeps click from joining the lines of an example

import asyncio
from typing import Any

import click

from soms.errors import SomsError


class Commands(click.Group):
    """Tells an expected refusal in one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (SomsError, OSError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="soms")
def main() -> None:
    """SOMS, the Smart Order Management System.

    \b
    soms up                       everything on this machine, until Ctrl-C
    soms up --scale product=2     the same with two product services
    soms COMMAND --help           what a command does and examples

    Settings are SOMS_* variables, such as SOMS_HOME (state folder, default var) and SOMS_WEB_PORT (8080).
    """


@main.command()
@click.option("--scale", metavar="NAME=COUNT,...", default="", help="Processes to run more than once, or not at all (0).")
def up(scale: str) -> None:
    """Run everything: engines, migrations, seed and every process of the Procfile.

    Whatever ends is started again. Ctrl-C or SIGTERM ends all of it; the data stay in SOMS_HOME.

    \b
    soms up
    soms up --scale product=2,order=2
    SOMS_HOME=/tmp/second SOMS_WEB_PORT=8081 soms up      a second stack beside the first
    SOMS_POSTGRES=postgresql://user:password@host/database soms up      with a PostgreSQL of your own
    """
    from soms.local import procfile
    from soms.local.up import Plan, supervise

    supervise(Plan(procfile.processes(procfile.find().read_text(), procfile.scale(scale))))


@main.command()
def engines() -> None:
    """Run PostgreSQL, Kafka, Eureka and the mailbox alone, prepared for the processes.

    \b
    soms engines
    honcho start                  in another terminal: the processes
    """
    from soms.local.up import Plan, supervise

    supervise(Plan())


@main.command()
def migrate() -> None:
    """Make the database's roles, schemas and tables, or bring them up to date.

    Services never do that themselves. May run while they serve, and more than once at a time.

    \b
    soms migrate
    SOMS_POSTGRES=postgresql://owner:password@host/database soms migrate
    """
    from soms.config import settings
    from soms.models.database import SCHEMAS
    from soms.models.schema import migrate

    asyncio.run(migrate(settings()))
    click.echo(f"up to date: schemas {', '.join(SCHEMAS)}")


@main.command()
def topics() -> None:
    """Create the Kafka topics that are missing and check the others.

    A topic that is not as it should be is told of and left alone; then the exit code is 1.

    \b
    soms topics
    SOMS_KAFKA=broker-1:9092,broker-2:9092 soms topics
    """
    from soms.agents.topics import provide
    from soms.config import settings

    provision = asyncio.run(provide(settings()))
    for word, names in (("created", provision.created), ("as they should be", provision.right)):
        if names:
            click.echo(f"{word}: {', '.join(names)}")
    if provision.differences:
        raise click.ClickException("\n  ".join(["left alone:", *provision.differences]))


if __name__ == "__main__":
    main()
