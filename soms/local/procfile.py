"""The Procfile: which processes there are and what starts each. The same file that `honcho start` reads."""

import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from honcho.environ import expand_processes, parse_procfile

from soms.errors import InvalidArgument

# of a wheel, of a checkout that is installed as it is
INSTALLED = (Path(__file__).parents[1] / "Procfile", Path(__file__).parents[2] / "Procfile")
MOST_OF_A_KIND = 32


@dataclass(frozen=True)
class Process:
    """One process to run: `name` as people see it (`product.2`), `command` for a shell."""

    name: str
    command: str

    def shell(self) -> list[str]:
        """What to start: the shell gives way to a simple command, so that a signal to the child reaches the program itself."""
        return ["/bin/sh", "-c", f"exec env {self.command}" if simple(self.command) else self.command]


def simple(command: str) -> bool:
    """Whether a shell would run one program, not a pipeline, a list or the like; broken quoting is left to the shell to tell of."""
    words = shlex.shlex(command, posix=True, punctuation_chars=True)
    try:
        return not any(set(word) <= set(words.punctuation_chars) for word in words)
    except ValueError:
        return False


def processes(text: str, scale: Mapping[str, int]) -> list[Process]:
    """The processes of a Procfile's `text`, each as often as `scale` says, else once.

    Raises InvalidArgument where `scale` names none of them or too many.
    """
    commands: dict[str, str] = parse_procfile(text).processes
    for name, count in scale.items():
        if name not in commands:
            raise InvalidArgument(f"--scale names {name}, but the Procfile has {', '.join(commands)}")
        if not 0 <= count <= MOST_OF_A_KIND:
            raise InvalidArgument(f"--scale {name}={count}: between 0 and {MOST_OF_A_KIND} can run")
    expanded = ((one.name, one.name.partition(".")[0], one.cmd) for one in expand_processes(commands, dict(scale)))
    return [Process(numbered if scale.get(name, 1) > 1 else name, command) for numbered, name, command in expanded]


def scale(text: str) -> dict[str, int]:
    """`product=2,order=2` as a mapping; raises InvalidArgument for anything else."""
    pairs = (pair.partition("=") for pair in text.split(",") if pair)
    try:
        return {name.strip(): int(count) for name, _, count in pairs}
    except ValueError:
        raise InvalidArgument(f"--scale wants NAME=COUNT,..., such as product=2,order=2, not {text}") from None


def find() -> Path:
    """The Procfile of the working folder, else the one that came with the installation."""
    return next(file for file in (Path("Procfile"), *INSTALLED) if file.exists())


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """`variables` plus what a Procfile's processes need: this very Python first, lines sent as they are written."""
    path = f"{Path(sys.executable).parent}:{variables.get('PATH', '/usr/bin:/bin')}"
    return {**variables, "PATH": path, "PYTHONUNBUFFERED": "1"}
