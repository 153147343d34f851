"""The description of our events is that of the code, holds together, and describes what is really told."""

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from soms.envelope import KINDS

ROOT = Path(__file__).parents[2]
SCRIPT = runpy.run_path(str(ROOT / "docs/asyncapi.py"))
DOCUMENT = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())


def references(node: Any) -> Iterator[str]:
    """Every `$ref` below a node."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def found(reference: str) -> Any:
    """What a reference points to."""
    node: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def test_the_file_is_not_stale() -> None:
    """`python docs/asyncapi.py` would write the same file again."""
    assert (ROOT / "docs/asyncapi.yaml").read_text() == SCRIPT["text"]()


def test_every_event_is_described() -> None:
    """Once, in the channel of its topic, and in what that channel is told."""
    for kind in KINDS.values():
        channel = DOCUMENT["channels"][kind.topic.removeprefix("soms.")]
        operation = DOCUMENT["operations"][f"tell-{kind.topic.removeprefix('soms.')}"]
        message = found(channel["messages"][kind.__name__]["$ref"])

        assert (channel["address"], message["name"], operation["action"]) == (kind.topic, kind.type, "send")
        assert {"$ref": f"{operation['channel']['$ref']}/messages/{kind.__name__}"} in operation["messages"]


def test_references_lead_somewhere() -> None:
    """No dangling `$ref`."""
    assert all(found(reference) for reference in references(DOCUMENT))


def test_it_has_what_asyncapi_asks_for() -> None:
    """AsyncAPI 3.0.0: the members it requires, and no others at the top."""
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    assert set(DOCUMENT) <= {"asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations", "components"}
    assert all({"action", "channel"} <= set(operation) for operation in DOCUMENT["operations"].values())


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_as_described(kind: str) -> None:
    """A stored sample has the headers and the value that the description tells of; without its version it has not."""
    sample = json.loads((ROOT / f"tests/samples/events/{kind}.json").read_text())
    message = DOCUMENT["components"]["messages"][KINDS[kind].__name__]
    headers = jsonschema_rs.validator_for(DOCUMENT["components"]["messageTraits"]["cloudEvent"]["headers"])
    value = jsonschema_rs.validator_for({**message["payload"], "components": DOCUMENT["components"]}, validate_formats=True)
    headers.validate(sample["headers"])
    value.validate(sample["value"])

    assert not value.is_valid({name: member for name, member in sample["value"].items() if name != "version"})
