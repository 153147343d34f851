"""`soms secrets`: every secret as a file, made beforehand, to be handed out one by one."""
# ruff: noqa: PLC0415 imports what a command needs when it runs
# ruff: noqa: D301 the character \b keeps click from joining the lines of an example

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from soms.config import Settings

NAMES: Final = ("postgres", "service-key", "refresh-key", "order-id", "cursor", "unsubscribe", "customer")


@click.command()
def secrets() -> None:
    """Make the secrets that are missing, in SOMS_SECRETS_FOLDER, for processes that get theirs read-only.

    The folder keeps other people of this machine out. The files themselves may be read by whoever gets one mounted, for containers
    run as users of their own.

    \b
    SOMS_SECRETS_FOLDER=secrets soms secrets
    """
    from soms.config import settings

    made = sorted(path.name for path in provide(settings()))
    click.echo(f"in {settings().secret_path('')}: {', '.join(made)}")


def provide(settings: "Settings") -> Iterator[Path]:
    """Make each secret that is missing, the password of each schema's role and the keys of tokens among them; the files of all."""
    from soms.models.database import SCHEMAS
    from soms.tokens import Signer

    folder = settings.secret_path("")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    Signer(settings)
    for name in (*NAMES, *(f"role-{schema}" for schema in SCHEMAS)):
        settings.secret(name)
    for path in folder.iterdir():
        path.chmod(0o444)
        yield path
