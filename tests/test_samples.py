"""Stored samples of every version of every event: what was told once must stay readable."""

import json
from pathlib import Path
from typing import Any

import pytest

from soms import envelope
from soms.envelope import KINDS, Envelope

SAMPLES = sorted((Path(__file__).parent / "samples/events").glob("*.json"))


def load(file: Path) -> dict[str, Any]:
    """Headers, key and value of a sample."""
    return dict(json.loads(file.read_text()))


def read(sample: dict[str, Any]) -> Envelope:
    """The sample, as it would come from Kafka."""
    headers = [(name, text.encode()) for name, text in sample["headers"].items()]
    return envelope.read(headers, sample["key"].encode(), json.dumps(sample["value"]).encode())


def with_more(value: Any) -> Any:
    """A value as a later SOMS may tell it: with more members at every level."""
    if isinstance(value, dict):
        return {name: with_more(member) for name, member in value.items()} | {"member_of_tomorrow": [1, {"a": None}]}
    return [with_more(member) for member in value] if isinstance(value, list) else value


def within(told: Any, read: Any) -> bool:
    """Whether all that was told was read, at every level; there may be more by now."""
    if isinstance(told, dict):
        return all(name in read and within(member, read[name]) for name, member in told.items())
    if isinstance(told, list):
        return len(told) == len(read) and all(map(within, told, read))
    return bool(told == read)


def test_every_event_has_a_sample() -> None:
    """A new type, or a new version of one, comes with a sample; a sample is never taken away."""
    assert set(KINDS) <= {file.stem for file in SAMPLES}


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_samples_stay_readable(file: Path) -> None:
    """Every member arrives as it was told, and so do id, type, time and trace."""
    sample = load(file)
    found = read(sample)

    assert found.event is not None
    assert within(sample["value"], json.loads(found.event.model_dump_json()))
    assert envelope.headers(found.id, found.type, sample["headers"]["ce_source"], found.time, found.traceparent) == [
        (name, text.encode()) for name, text in sample["headers"].items()
    ]


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.stem)
def test_members_of_tomorrow_are_ignored(file: Path) -> None:
    """Whatever is added, here or within, the event is the same."""
    sample = load(file)
    more = {**sample, "value": with_more(sample["value"]), "headers": sample["headers"] | {"ce_dataschema": "urn:tomorrow"}}

    assert read(more).event == read(sample).event
