"""Writes `docs/asyncapi.yaml`, the description of our events (AsyncAPI 3.0): python docs/asyncapi.py."""  # noqa: INP001 - a script

from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml
from pydantic.json_schema import models_json_schema

from soms.agents.topics import registry
from soms.envelope import KINDS
from soms.events import Event

FILE = Path(__file__).with_name("asyncapi.yaml")
BROKERS = 3
DESCRIPTION = """\
Every fact that SOMS tells, as CloudEvents 1.0 in binary mode on Apache Kafka.

Delivery is at least once: know an event again by `ce_id`. First arrivals of one key are in the order of what happened,
and `version` is that of the aggregate after the change; an event that comes once more may come after later ones.
Ignore members that you do not know: they may be added at any time. What is more than that is a new type (`.v2`) beside
the old one. Money is an integer in minor units with its currency; the time of a record is that of the fact.
"""
HEADERS = {
    "ce_specversion": {"type": "string", "const": "1.0"},
    "ce_id": {"type": "string", "format": "uuid", "description": "Of the event: the same however often it arrives."},
    "ce_type": {"type": "string", "description": "The name of the message."},
    "ce_source": {"type": "string", "format": "uri-reference", "examples": ["/soms/order"]},
    "ce_time": {"type": "string", "format": "date-time", "description": "When the fact came true."},
    "content-type": {"type": "string", "const": "application/json"},
    "traceparent": {"type": "string", "description": "W3C Trace Context of the request that made it so, where it had one."},
}


def document() -> dict[str, Any]:
    """The whole description."""
    kinds = list(KINDS.values())
    _, schemas = models_json_schema([(kind, "serialization") for kind in kinds], ref_template="#/components/schemas/{model}")
    topics = {topic.name: topic for topic in registry(BROKERS)}
    channels = {name: [kind for kind in kinds if kind.topic == name] for name in sorted({kind.topic for kind in kinds})}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Events of SOMS",
            "version": version("soms"),
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {_short(name): _channel(name, topics[name], told) for name, told in channels.items()},
        "operations": {f"tell-{_short(name)}": _operation(name, told) for name, told in channels.items()},
        "components": {
            "messages": {kind.__name__: _message(kind) for kind in kinds},
            "messageTraits": {"cloudEvent": {"headers": {"type": "object", "required": list(HEADERS)[:-1], "properties": HEADERS}}},
            "schemas": schemas["$defs"],
        },
    }


def _short(topic: str) -> str:
    return topic.removeprefix("soms.")


def _channel(name: str, topic: Any, told: list[type[Event]]) -> dict[str, Any]:
    retention = {"cleanup.policy": topic.settings["cleanup.policy"].split(","), "retention.ms": int(topic.settings["retention.ms"])}
    return {
        "address": name,
        "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"} for kind in told},
        "bindings": {
            "kafka": {
                "topic": name,
                "partitions": topic.partitions,
                "replicas": topic.replicas,
                "topicConfiguration": retention,
                "bindingVersion": "0.5.0",
            }
        },
    }


def _operation(name: str, told: list[type[Event]]) -> dict[str, Any]:
    channel = f"#/channels/{_short(name)}"
    return {
        "action": "send",
        "channel": {"$ref": channel},
        "summary": f"SOMS tells of {_short(name)}.",
        "messages": [{"$ref": f"{channel}/messages/{kind.__name__}"} for kind in told],
    }


def _message(kind: type[Event]) -> dict[str, Any]:
    return {
        "name": kind.type,
        "title": kind.__name__,
        "summary": (kind.__doc__ or "").strip(),
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
        "bindings": {"kafka": {"key": {"type": "string", "description": kind.key.__doc__}, "bindingVersion": "0.5.0"}},
    }


class Dumper(yaml.SafeDumper):
    """Writes text of several lines as such."""


def _lines(dumper: Dumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Dumper.add_representer(str, _lines)


def text() -> str:
    """The file as it should be."""
    return "# Generated: python docs/asyncapi.py\n" + yaml.dump(document(), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=140)


if __name__ == "__main__":
    FILE.write_text(text())
