"""`soms doctor`: what is wrong now, and what to do about each. Built on the rules of `soms audit`; changes nothing."""
# ruff: noqa: PLC0415 imports what a command needs when it runs
# ruff: noqa: D301 the character \b keeps click from joining the lines of an example

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from soms.config import Settings
    from soms.models.audit_check import Result

SHOWN = 10


@click.command()
@click.option("--wait", "patience", default=5, show_default=True, type=click.IntRange(0, 600), help="Seconds for what is under way.")
def doctor(patience: int) -> None:
    """Tell which orders are incomplete, which stock is held too long, what waits too long and what was given up; and what to do.

    An order is incomplete when its reservation, timeline, events or notifications are not what they should be. The exit code is 1 if
    there is anything to do. `soms audit` reads the topics, too.

    \b
    soms doctor
    """
    from soms.config import settings

    found = asyncio.run(diagnosis(settings(), patience))
    for line in found:
        click.echo(line)
    if not found:
        click.echo("nothing is wrong")
    else:
        raise SystemExit(1)


async def diagnosis(settings: "Settings", patience: float) -> list[str]:
    """What to do, a line for each rule that is broken, with those who break it below, and for each consumer's dead letters."""
    from soms.models import audit

    lines = [line for result in await audit.audited(settings, patience) for line in described(result)]
    return [*lines, *await _dead_letters(settings)]


def described(result: "Result") -> Iterator[str]:
    """Nothing for a rule that holds."""
    from soms.logging import CONTROL

    if result.breaches:
        yield f"{result.name}: {len(result.breaches):,} where not {result.rule}. To do: {result.remedy}"
    for breach in result.breaches[:SHOWN]:
        yield f"    {breach.key}: {breach.found} instead of {breach.wanted}".translate(CONTROL)


async def _dead_letters(settings: "Settings") -> list[str]:
    """A line for each consumer that gave up events, with the reasons."""
    from soms.agents import letterbox
    from soms.errors import SomsError

    try:
        letters = await letterbox.opened(settings)
    except SomsError as error:
        return [f"dead letters: {error}. To do: start Kafka; events wait in the outboxes until then"]
    reasons: dict[str, Counter[str]] = {}
    for letter in letters:
        reasons.setdefault(letter.topic, Counter())[letter.told.get("reason", "?")] += 1
    return [
        f"{topic}: {why.total():,} events given up ({', '.join(f'{number:,} {reason}' for reason, number in why.most_common())}). "
        "To do: `soms dlq list`, mend what made them fail, `soms dlq replay` or `soms dlq drop`"
        for topic, why in reasons.items()
    ]
