"""`soms audit`: whether everything that SOMS keeps agrees with itself. Reads and never changes."""
# ruff: noqa: PLC0415 imports what a command needs when it runs
# ruff: noqa: D301 the character \b keeps click from joining the lines of an example

import asyncio
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from soms.config import Settings
    from soms.models.audit_check import Result

SHOWN = 20


@click.command()
@click.option("--wait", "patience", default=15, show_default=True, type=click.IntRange(0, 600), help="Seconds for what is under way.")
@click.option("--topics/--no-topics", default=True, help="Compare the outboxes with the topics, too; that reads every event.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with all that differs.")
def audit(patience: int, *, topics: bool, as_json: bool) -> None:
    """Check that orders, stock, its ledger, reservations, outboxes, topics, notifications and history agree.

    Reads in snapshots, as the owner of the database, and changes nothing. What differs is looked at again until --wait is over, as it
    may be under way; what still differs is shown, and the exit code is 1. `soms doctor` tells what to do.

    \b
    soms audit
    soms audit --no-topics --wait 0
    soms audit --json | jq '.checks[] | select(.breaches != [])'
    """
    from soms.config import settings

    results = asyncio.run(audited(settings(), patience, topics=topics))
    broken = [result for result in results if result.breaches]
    if as_json:
        click.echo(document(results))
    else:
        for result in results:
            show(result)
        click.echo(f"{len(broken)} of {len(results)} rules are broken" if broken else f"all {len(results)} rules hold")
    if broken:
        raise SystemExit(1)


async def audited(settings: "Settings", patience: float, *, topics: bool) -> "list[Result]":
    """What every check finds, in the database and, if asked for, in the topics."""
    from soms.models import audit

    results = await audit.audited(settings, patience)
    if topics:
        from soms.agents.topic_audit import compared

        results += await compared(settings)
    return results


def document(results: "list[Result]") -> str:
    """All of it as JSON."""
    import orjson

    checks = [
        {"name": one.name, "rule": one.rule, "things": one.things, "breaches": [breach._asdict() for breach in one.breaches]}
        for one in results
    ]
    return orjson.dumps({"clean": not any(one.breaches for one in results), "checks": checks}, option=orjson.OPT_INDENT_2).decode()


def show(result: "Result") -> None:
    """A line for the check, and one for each of the first that break its rule."""
    from soms.logging import CONTROL

    verdict = f"{len(result.breaches):,} DIFFER" if result.breaches else "ok"
    click.echo(f"{result.name:<22}{result.things:>10,}  {verdict:<12} {result.rule}")
    for breach in result.breaches[:SHOWN]:
        click.echo(f"    {breach.key}: found {breach.found}, wanted {breach.wanted}".translate(CONTROL))
    if len(result.breaches) > SHOWN:
        click.echo(f"    and {len(result.breaches) - SHOWN:,} more (--json has them)")
