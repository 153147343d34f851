"""The `soms` command. Each command is a small function that imports what it needs when it runs, so that help comes at once."""
# ruff: noqa: PLC0415 as said above
# ruff: noqa: D301 the character \b keeps click from joining the lines of an example

import asyncio
from pathlib import Path
from typing import Any

import click

from soms.cli.analytics import analytics
from soms.cli.audit import audit
from soms.cli.dlq import dlq
from soms.cli.doctor import doctor
from soms.cli.events import events
from soms.cli.importing import import_
from soms.cli.notifications import notifications
from soms.cli.outbox import outbox
from soms.cli.secrets import secrets
from soms.errors import SomsError


class Commands(click.Group):
    """Tells an expected refusal in one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (SomsError, OSError) as error:
            raise click.ClickException(str(error)) from error
        except ValueError as error:
            if readable := _readable(error):
                raise readable from error
            raise


def _readable(error: ValueError) -> click.ClickException | None:
    """A wrong setting by the name of its variable, if that is what it is."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError) or error.title != "Settings":
        return None
    return click.ClickException("; ".join(f"SOMS_{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors()))


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
    from soms import logging

    logging.setup("soms", "ERROR")  # a registry or a broker that is still starting is nothing to tell of


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


@main.command()
def seed() -> None:
    """Make the admin's account and a small catalogue, where they are missing.

    Waits for the user and the product service. The admin is admin@soms.localhost; the password is made once and kept in the file
    admin-password of SOMS_HOME. A catalogue that holds other goods is left alone.

    \b
    soms seed
    """
    from soms.cli.marker import seeded
    from soms.config import settings

    if not seeded(settings()):
        from soms.cli.seed import seed

        for sentence in asyncio.run(seed(settings())):
            click.echo(sentence)


@main.command()
@click.option("--email", required=True, help="Whose token; the account is made where missing.")
@click.option("--role", type=click.Choice(["customer", "staff", "admin"]), default="customer", show_default=True, help="What it may do.")
def token(email: str, role: str) -> None:
    """Print an access token for scripts on this machine, good for ten minutes.

    No password is asked: whoever can read SOMS_HOME is trusted. The account gets the role for good.

    \b
    TOKEN=$(soms token --email staff@example.org --role staff)
    curl -H "Authorization: Bearer $TOKEN" localhost:8080/api/v1/products/MUG-BLUE/stock
    """
    from soms.cli.token import issue
    from soms.config import settings

    click.echo(asyncio.run(issue(settings(), email, role)))


@main.command()
@click.argument("items", nargs=-1, metavar="[SKU=QUANTITY]...")
@click.option("--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CSV file of orders, UTF-8.")
@click.option("--columns", metavar="OURS=THEIRS,...", default="", help="Names of the columns order, sku, quantity, email in the file.")
@click.option("--clients", type=click.IntRange(1, 256), default=8, show_default=True, help="Orders under way at a time.")
@click.option("--email", default="customer@soms.localhost", show_default=True, help="Customer of orders that name none.")
@click.option("--token", help="Access token to use instead; then nothing but the gateway need be in reach.")
@click.option("--key", help="Idempotency key of the one order; by default a new one each time.")
@click.option("--url", help="The gateway; by default the one of SOMS_WEB_HOST and SOMS_WEB_PORT.")
def place(
    *,
    items: tuple[str, ...],
    file: Path | None,
    columns: str,
    clients: int,
    email: str,
    token: str | None,
    key: str | None,
    url: str | None,
) -> None:
    """Place an order, or all orders of a file, over REST. The exit code is 0 if every one was accepted.

    \b
    soms place MUG-BLUE=2 PEN-FINE=10
    soms place MUG-BLUE=2 --email ann@example.org --key monday
    soms place --file orders.csv --clients 16

    The file has a row for each line of an order; rows of one order may stand anywhere, and email may be left out:

    \b
    order,sku,quantity,email
    1001,MUG-BLUE,2,ann@example.org
    1001,PEN-FINE,10,ann@example.org
    1002,BAG-CANVAS,1,bob@example.org

    A file with other names of columns, or more of them, needs no conversion, only to be told:

    \b
    soms place --file export.csv --columns order=InvoiceNo,sku=StockCode,quantity=Quantity

    Each order has a key made of the file's name and its own, so that the same file can be sent again after an interruption: within
    24 hours, what was placed is not placed twice but answered as before, and what was refused for lack of stock is refused as before
    (try that in a file of another name). What the gateway is too busy for is repeated a few times.
    """
    from soms.cli import order_file
    from soms.cli.place import Manner, place, show, single
    from soms.config import settings

    if bool(items) == bool(file):
        raise click.UsageError("name either SKU=QUANTITY or --file")
    orders = order_file.read(file, order_file.columns(columns)) if file else [single(items, key)]
    report = asyncio.run(place(settings(), orders, Manner(clients, url, token, email)))
    if file:
        show(report, len(orders), clients)
    if report.accepted < len(orders):
        raise SystemExit(1)


main.add_command(import_)
main.add_command(outbox)
main.add_command(events)
main.add_command(dlq)
main.add_command(audit)
main.add_command(doctor)
main.add_command(notifications)
main.add_command(secrets)
main.add_command(analytics)

if __name__ == "__main__":
    main()
