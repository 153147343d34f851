"""SOMS as a wheel in environments of its own, and docker-compose.yml read as Docker reads it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
Install = Callable[[], Path]


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Makes an environment that has the wheel and what it needs, in the versions of the lock, and nothing else; gives its `bin`."""
    wheels = tmp_path_factory.mktemp("wheel")
    _uv("build", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(wheels), str(ROOT))
    (wheel,) = wheels.glob("*.whl")

    def make() -> Path:
        folder = tmp_path_factory.mktemp("environment")
        _uv("venv", "--python", sys.executable, str(folder / "soms"))
        python = folder / "soms/bin/python"
        _uv("pip", "install", "--python", str(python), "--constraint", str(ROOT / "requirements.lock"), str(wheel))
        return python.parent

    return make


@pytest.fixture(scope="session")
def compose() -> dict[str, Any]:
    """The compose file."""
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def _uv(*arguments: str) -> None:
    done = subprocess.run((UV, *arguments, "--quiet"), cwd="/", capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
