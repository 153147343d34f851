"""`soms events`: the facts on Kafka, for people."""
# ruff: noqa: PLC0415 imports what a command needs when it runs
# ruff: noqa: D301 the character \b keeps click from joining the lines of an example

import asyncio
import contextlib
import datetime as dt
from typing import Any

import click


@click.group()
def events() -> None:
    """Facts as they are told on Kafka."""


@events.command()
@click.option("--type", "kind", metavar="TYPE", help="Events whose type has this in it: placed, soms.order, soms.product.stock_low.v1.")
@click.option("--order", metavar="ID", help="Events of this order alone.")
@click.option("--from-start", is_flag=True, help="From the oldest that is kept, not from now on.")
@click.option("--to-end", is_flag=True, help="End when all that is there now is shown, instead of waiting for more.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def tail(kind: str | None, order: str | None, *, from_start: bool, to_end: bool, as_json: bool) -> None:
    """Show events as they come, a line each, until Ctrl-C: time, type, key, version and members. Tokens are blotted out.

    \b
    soms events tail
    soms events tail --type order --json
    soms events tail --order 0f9c9d3e-5c3f-8a53-9b33-0a51f4f1a6a5 --from-start --to-end
    """
    from soms.agents.tail import follow
    from soms.config import settings
    from soms.envelope import KINDS
    from soms.events import OrderEvent

    async def show() -> None:
        topics = [OrderEvent.topic] if order else sorted({event.topic for event in KINDS.values()})
        async for record in follow(settings(), topics, key=order, from_start=from_start, to_end=to_end):
            told = described(record)
            if (not kind or kind in told["type"]) and order in (None, told["key"]):
                click.echo(line(told, as_json=as_json))

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(show())


def described(record: Any) -> dict[str, Any]:
    """A record by its parts; `value` is None and `unreadable` says why where it cannot be read."""
    import orjson

    from soms.logging import BLOT, SECRET_NAME

    headers = {name: content.decode(errors="replace") for name, content in record.headers if content is not None}
    told = {
        "time": headers.get("ce_time") or dt.datetime.fromtimestamp(record.timestamp / 1000, dt.UTC).isoformat(),
        "type": headers.get("ce_type", "?"),
        "key": (record.key or b"").decode(errors="replace"),
        "id": headers.get("ce_id"),
        "at": f"{record.topic}/{record.partition}@{record.offset}",
    }
    try:
        members = orjson.loads(record.value)
        value = {name: BLOT if SECRET_NAME.search(name) else member for name, member in members.items()}
    except (ValueError, TypeError, AttributeError) as error:
        return told | {"value": None, "unreadable": str(error)}
    return told | {"value": value}


def line(told: dict[str, Any], *, as_json: bool) -> str:
    """A record in one line, whatever is in it."""
    import orjson

    from soms.logging import CONTROL

    if as_json:
        return orjson.dumps(told).decode()
    if told["value"] is None:
        return f"{told['time']} {told['type']} {told['key']} unreadable at {told['at']}: {told['unreadable']}".translate(CONTROL)
    members = {name: member for name, member in told["value"].items() if name != "version" and member not in (None, told["key"])}
    text = " ".join(f"{name}={len(member) if isinstance(member, list) else member}" for name, member in members.items())
    return f"{told['time']} {told['type']} {told['key']} v{told['value'].get('version', '?')} {text}".translate(CONTROL)
