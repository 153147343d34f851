"""Reading the Procfile."""

import subprocess
from pathlib import Path

import pytest

from soms.errors import InvalidArgument
from soms.local import procfile

TEXT = "# comment\nuser: python -m user\nproduct: python -m product\n\nweb: python -m web\n"


def test_processes_run_once_unless_scaled() -> None:
    """Scaled ones are numbered, those scaled to nothing are left out, the others keep their names."""
    names = [process.name for process in procfile.processes(TEXT, procfile.scale("product=2,web=0"))]
    assert names == ["user", "product.1", "product.2"]


@pytest.mark.parametrize("text", ["product", "product=two", "product=2;order=2", "stranger=2", "product=-1", "product=1000"])
def test_bad_scales_are_refused(text: str) -> None:
    """A scale that is no number, or of an unknown process, names itself in the refusal."""
    with pytest.raises(InvalidArgument, match="--scale"):
        procfile.processes(TEXT, procfile.scale(text))


@pytest.mark.parametrize("command", ["a; b", "a && b", "a | b", "(a)", "a & b", "a > b", "it's"])
def test_only_single_programs_replace_the_shell(command: str) -> None:
    """Whatever needs a shell keeps it."""
    assert procfile.Process("x", command).shell() == ["/bin/sh", "-c", command]


def test_a_single_program_sees_variables_and_assignments() -> None:
    """A line means what it means to honcho."""
    shell = procfile.Process("x", "GREETING='a; b' sh -c 'echo $GREETING' $0").shell()
    assert subprocess.run(shell, capture_output=True, check=True, text=True).stdout == "a; b\n"


def test_the_procfile_of_the_working_folder_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere the installed one is found."""
    monkeypatch.chdir(tmp_path)
    assert procfile.find() in procfile.INSTALLED
    (tmp_path / "Procfile").touch()
    assert procfile.find().resolve() == tmp_path / "Procfile"
