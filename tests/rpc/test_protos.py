"""The contract and what is generated from it."""

import subprocess
import sys
from filecmp import dircmp
from pathlib import Path

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "protos/generate.py"


def differences(comparison: dircmp[str]) -> list[str]:
    """What is not the same on both sides, at any depth."""
    own = [*comparison.left_only, *comparison.right_only, *comparison.diff_files, *comparison.funny_files]
    return [name for name in own if name != "__pycache__"] + [name for sub in comparison.subdirs.values() for name in differences(sub)]


def test_stubs_are_fresh(tmp_path: Path) -> None:
    """Generating the stubs anew changes nothing: `make protos` was run, and nobody edited them."""
    subprocess.run([sys.executable, SCRIPT, tmp_path / "gen"], check=True)

    assert differences(dircmp(ROOT / "soms/rpc/gen", tmp_path / "gen")) == []


def test_contract_is_clean() -> None:
    """The contract has no fault of style and a comment on everything."""
    found = subprocess.run([Path(sys.executable).parent / "buf", "lint"], cwd=ROOT / "protos", capture_output=True, text=True, check=False)

    assert found.stdout + found.stderr == ""
    assert found.returncode == 0
