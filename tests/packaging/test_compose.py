"""docker-compose.yml and Dockerfile, as far as they can be judged without a container engine."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from honcho.environ import parse_procfile

from soms.cli.secrets import NAMES
from soms.models.database import SCHEMAS

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
OURS = "soms"


def services(compose: dict[str, Any], *, ours: bool = False) -> dict[str, dict[str, Any]]:
    """All services by name, or those that run SOMS."""
    return {name: one for name, one in compose["services"].items() if not ours or one["image"] == OURS}


def test_it_is_a_compose_file() -> None:
    """The published schema of the Compose Specification finds no fault."""
    check = Path(sys.executable).with_name("check-jsonschema")
    command = (check, "--builtin-schema", "vendor.compose-spec", ROOT / "docker-compose.yml")
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_process_of_the_procfile_runs(compose: dict[str, Any]) -> None:
    """By the very command; product, order and web twice."""
    processes = parse_procfile((ROOT / "Procfile").read_text()).processes
    ours = services(compose, ours=True)
    assert {name: ours.get(name, {}).get("command") for name in processes} == processes
    assert {name for name, one in ours.items() if one.get("deploy", {}).get("replicas") == 2} == {"product", "order", "web"}


def test_nobody_is_root_and_nothing_without_limits(compose: dict[str, Any]) -> None:
    """A user by number, a read-only file system, no capabilities, a limit of memory and of processes; a tag for every foreign image."""
    for name, one in services(compose).items():
        assert int(one["user"].partition(":")[0]) > 0, name
        assert (one["read_only"], one["cap_drop"], one["security_opt"]) == (True, ["ALL"], ["no-new-privileges:true"]), name
        assert one["mem_limit"], name
        assert one["pids_limit"], name
        assert one.get("build") or re.search(r":v?\d[\w.-]*$", one["image"]), name


def test_whatever_stays_tells_how_it_is(compose: dict[str, Any]) -> None:
    """Jobs end and are waited for; everything else has a health check and comes back after its end."""
    waited = {name: rule["condition"] for one in services(compose).values() for name, rule in one.get("depends_on", {}).items()}
    for name, one in services(compose).items():
        job = one["restart"] == "no"
        assert job != ("healthcheck" in one), name
        if name in waited:
            assert waited[name] == ("service_completed_successfully" if job else "service_healthy"), name


def test_ports_are_published_on_loopback(compose: dict[str, Any]) -> None:
    """No other machine gets in unless somebody wants that; no network of the host."""
    published = [port for one in services(compose).values() for port in one.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []
    assert [name for name, one in services(compose).items() if one.get("network_mode") or one.get("privileged")] == []


def test_secrets_are_files(compose: dict[str, Any]) -> None:
    """Each that `soms secrets` makes, each from its own file, none that nobody uses; no password in an environment."""
    known = {*NAMES, "token-key", "jwks.json", *(f"role-{schema}" for schema in SCHEMAS)}
    assert compose["secrets"] == {name: {"file": f"secrets/{name}"} for name in known}
    assert {name for one in services(compose).values() for name in one.get("secrets", [])} == known
    variables = [name for one in services(compose).values() for name in one.get("environment", {})]
    assert [name for name in variables if re.search("PASSWORD$|TOKEN|KEY", name)] == []


def test_soms_has_no_other_secrets() -> None:
    """What the code asks for is what `soms secrets` makes."""
    asked = {name for source in (ROOT / "soms").rglob("*.py") for name in re.findall(r'\.secret\(\s*f?"([^"]+)"', source.read_text())}
    assert asked - {"role-{schema}", "token-key"} == set(NAMES)


def test_what_the_dockerfile_copies_is_there() -> None:
    """Every file and stage that it copies from, and let in by .dockerignore."""
    stages = set(re.findall(r"^FROM \S+ AS (\w+)$", DOCKERFILE, re.MULTILINE))
    copied = re.findall(r"^COPY (?:--from=(\S+) )?(.+) \S+$", DOCKERFILE, re.MULTILINE)
    for stage, sources in copied:
        if stage:
            assert stage in stages or "/" in stage
            continue
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert f"!{source}" in (ROOT / ".dockerignore").read_text().splitlines(), source
    assert re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"] * 2
    assert [image for image in re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) if ":" not in image and image not in stages] == []


@pytest.mark.parametrize("module", sorted(set(re.findall(r"python -m ([\w.]+)", DOCKERFILE + (ROOT / "docker-compose.yml").read_text()))))
def test_modules_that_are_run_exist(module: str) -> None:
    """Each `python -m` of either file."""
    assert importlib.util.find_spec(module)
