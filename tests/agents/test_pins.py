"""We override private parts of Faust: their text, and the versions, must be those that the fault suite was run on."""

import hashlib
import inspect
from collections.abc import Iterator
from importlib.metadata import version

import pytest
from faust.app.base import App, BootStrategy
from faust.streams import Stream
from faust.tables.base import Collection
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer, Fetcher, ThreadDelegateConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

from soms.agents import app, recovery, strict, table

VERSIONS = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}
# what we override calls or is called by these
NEIGHBOURS = [
    (App, "_on_partitions_revoked", "_on_partitions_assigned", "_stop_consumer", "on_rebalance_start", "on_rebalance_end"),
    (App, "on_stop", "_producer_flush"),
    (Consumer, "_drain_messages", "_wait_next_records", "commit", "force_commit", "_commit_tps", "_filter_committable_offsets"),
    (Consumer, "_should_commit", "stop_flow", "resume_flow", "pause_partitions", "resume_partitions", "on_stop", "_commit_handler"),
    (Fetcher, "_fetcher", "on_stop"),
    (AIOKafkaConsumerThread, "_commit", "_fetch_records", "seek_to_committed", "seek_to_beginning", "seek_wait"),
    (Recovery, "_restart_recovery", "_slurp_changelogs", "_wait", "_add", "revoke"),
    (Stream, "noack", "events"),
]
DIGEST = "48e0cfb14ff40e51d64f29cb5d10505c8776766c2c3ac8975b51e1f12f6c1bf6"


def overridden() -> Iterator[tuple[type, str]]:
    """Each method of ours that stands in for one of Faust's, with the class it comes from."""
    for module in (app, recovery, strict, table):
        for ours in vars(module).values():
            if inspect.isclass(ours) and ours.__module__ == module.__name__:
                for name in vars(ours):
                    for theirs in ours.__mro__[1:]:
                        if name in vars(theirs) and inspect.isfunction(inspect.unwrap(getattr(theirs, name))) and theirs is not object:
                            yield theirs, name
                            break


def text(theirs: type, name: str) -> str:
    """The source of a method, under its name."""
    found = vars(theirs)[name]
    return f"{theirs.__qualname__}.{name}\n{inspect.getsource(inspect.unwrap(getattr(found, 'fun', found)))}"


@pytest.mark.parametrize("package", VERSIONS)
def test_versions_are_pinned(package: str) -> None:
    """Another version needs the fault suite run, and what we override read, again."""
    assert version(package) == VERSIONS[package]


def test_what_we_override_is_as_it_was() -> None:
    """The text of each method we override, and of those around them, has not changed."""
    ours = set(overridden())
    around = {(theirs, name) for theirs, *names in NEIGHBOURS for name in names}
    digest = hashlib.sha256("".join(sorted(text(*method) for method in ours | around)).encode()).hexdigest()

    assert {(Consumer, "_new_offset"), (ThreadDelegateConsumer, "_getmany"), (Recovery, "_resume_streams")} <= ours
    assert {(TableManager, "on_start"), (Collection, "send_changelog"), (BootStrategy, "web_server"), (App, "_new_transport")} <= ours
    assert digest == DIGEST
