"""`soms dlq`: the events that a consumer gave up, and what to do with them."""
# ruff: noqa: PLC0415 imports what a command needs when it runs
# ruff: noqa: D301 the character \b keeps click from joining the lines of an example

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from soms.agents.letterbox import Letter

CONSUMER = click.option("--consumer", metavar="NAME", help="Dead letters of this consumer alone: inventory, notification, analytics.")


@click.group()
def dlq() -> None:
    """Dead letters: events that a consumer gave up after its attempts, or could not read."""


@dlq.command("list")
@CONSUMER
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_(consumer: str | None, *, as_json: bool) -> None:
    """List what is open, oldest first: id, when, reason, where it came from, type and key.

    \b
    soms dlq list
    soms dlq list --consumer inventory --json
    """
    from soms.agents import letterbox
    from soms.config import settings

    letters = asyncio.run(letterbox.opened(settings(), _consumers(consumer)))
    for letter in letters:
        click.echo(line(letter, as_json=as_json))
    if not letters and not as_json:
        click.echo("no dead letters")


@dlq.command()
@click.argument("letter_id", metavar="ID")
def show(letter_id: str) -> None:
    """Show a letter: why it was given up, its headers, and its value. Tokens are blotted out.

    \b
    soms dlq show soms.inventory.dlq-3-17
    """
    from soms.agents import letterbox
    from soms.config import settings
    from soms.logging import CONTROL

    letter, value = asyncio.run(letterbox.read(settings(), letter_id))
    told = {f"dlq_{name}": text for name, text in letter.told.items()}
    own = {name: text.decode(errors="replace") for name, text in letter.own}
    for name, text in {"id": letter.id, "at": letter.at.isoformat(), "key": _text(letter.key), **told, **own}.items():
        click.echo(f"{name:<16} {text}".translate(CONTROL))
    click.echo(pretty(value))


@dlq.command()
@click.argument("letter_id", metavar="[ID]", required=False)
@click.option("--all", "everything", is_flag=True, help="All that are open of --consumer.")
@CONSUMER
@click.option("--yes", is_flag=True, help="Do not ask.")
def replay(letter_id: str | None, consumer: str | None, *, everything: bool, yes: bool) -> None:
    """Send a letter, or all of a consumer, back to the topic it came from: the same bytes, headers and id, at the end of its partition.

    Every consumer of the topic hears it again; who handled it before knows its id and passes it over. What fails again becomes a new
    letter. Events of the same key that came after it are handled already: a handler sees by its version that it is late.

    \b
    soms dlq replay soms.inventory.dlq-3-17
    soms dlq replay --all --consumer inventory
    """
    from soms.agents import letterbox

    _each(letterbox.replay, "replayed", letter_id, consumer if everything else None, yes=yes)


@dlq.command()
@click.argument("letter_id", metavar="[ID]", required=False)
@click.option("--all", "everything", is_flag=True, help="All that are open of --consumer.")
@CONSUMER
@click.option("--yes", is_flag=True, help="Do not ask.")
def drop(letter_id: str | None, consumer: str | None, *, everything: bool, yes: bool) -> None:
    """Settle a letter, or all of a consumer, without sending it: it is not listed any more, but stays in its topic for its month.

    \b
    soms dlq drop soms.inventory.dlq-3-17
    soms dlq drop --all --consumer notification --yes
    """
    from soms.agents import letterbox

    _each(letterbox.drop, "dropped", letter_id, consumer if everything else None, yes=yes)


def line(letter: "Letter", *, as_json: bool) -> str:
    """A letter in one line, whatever is in it."""
    import orjson

    from soms.logging import CONTROL

    told = {
        "id": letter.id,
        "at": letter.at.isoformat(timespec="seconds"),
        "reason": letter.told.get("reason", "?"),
        "origin": "/".join(map(str, letter.origin)) if letter.origin else None,
        "type": letter.header("ce_type") or "?",
        "key": _text(letter.key),
        "attempts": letter.told.get("attempts"),
        "error": letter.told.get("error"),
    }
    if as_json:
        return orjson.dumps(told).decode()
    return f"{told['id']}  {told['at']}  {told['reason']}  from {told['origin'] or '-'}  {told['type']}  {told['key']}".translate(CONTROL)


def pretty(value: bytes | None) -> str:
    """A value for people: JSON indented and without secrets, anything else as it is."""
    import orjson

    from soms.logging import BLOT, CONTROL, SECRET_NAME

    if value is None:
        return "no value"
    try:
        members = orjson.loads(value)
    except ValueError:
        return f"{len(value):,} bytes that are no JSON: {value[:1000].decode(errors='replace')}".translate(CONTROL)
    if isinstance(members, dict):
        members = {name: BLOT if SECRET_NAME.search(name) else member for name, member in members.items()}
    return orjson.dumps(members, option=orjson.OPT_INDENT_2).decode()


def _consumers(consumer: str | None) -> tuple[str, ...]:
    from soms.agents.topics import CONSUMERS

    if consumer and consumer not in CONSUMERS:
        raise click.UsageError(f"no such consumer: {consumer} (there are {', '.join(CONSUMERS)})")
    return (consumer,) if consumer else CONSUMERS


def _each(do: Callable[..., AsyncIterator[Any]], done: str, letter_id: str | None, consumer: str | None, *, yes: bool) -> None:
    """Do it with the letter of that id, or with all of the consumer, and tell each."""
    from soms.agents import letterbox
    from soms.config import settings

    if bool(letter_id) == bool(consumer):
        raise click.UsageError("name either an ID, or --all and --consumer")

    async def run() -> int:
        chosen = await letterbox.opened(settings(), _consumers(consumer)) if consumer else []
        chosen += [(await letterbox.read(settings(), letter_id))[0]] if letter_id else []
        if len(chosen) > 1 and not yes:
            await asyncio.to_thread(click.confirm, f"{len(chosen):,} dead letters to be {done}?", abort=True)
        async for letter in do(settings(), chosen):
            click.echo(f"{done} {letter.id}")
        return len(chosen)

    click.echo(f"{asyncio.run(run()):,} {done}")


def _text(key: bytes | None) -> str:
    return (key or b"").decode(errors="replace")
