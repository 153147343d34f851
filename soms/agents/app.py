"""The Faust app of a consumer: strict parts, settings of ours alone, no web server, no help from the environment. Knows no event."""

from collections.abc import Iterable
from typing import Any, cast

import faust
from faust.app.base import BootStrategy
from faust.types import TopicT
from mode.types import ServiceT

from soms.agents.recovery import StrictRecovery, StrictTables
from soms.agents.slot import Slot
from soms.agents.strict import FAUST, StrictConsumer, StrictTransport
from soms.agents.table import FencedTable
from soms.agents.topics import PARTITIONS
from soms.config import Settings
from soms.errors import FailedPrecondition


class Boot(BootStrategy):
    """Starts no web server, and neither a leader with its topic nor a consumer of replies: nobody asks for them."""

    def kafka_consumer(self) -> Iterable[ServiceT]:
        """The consumer alone."""
        return [self.app.consumer]

    def web_server(self) -> Iterable[ServiceT]:
        """Nothing: a worker has an HTTP port of its own."""
        return []


class App(faust.App):
    """Faust that loses nothing: see `strict` and `recovery`."""

    logger = FAUST

    BootStrategy = Boot

    def _new_transport(self) -> StrictTransport:
        return StrictTransport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> StrictTransport:
        return StrictTransport(self.conf.broker_producer, self)

    @property
    def strict(self) -> StrictConsumer:
        """The consumer."""
        return cast("StrictConsumer", self.consumer)

    @property
    def recovery(self) -> StrictRecovery:
        """What brings tables back after a rebalance."""
        return cast("StrictTables", self.tables).recovery

    @property
    def ready(self) -> bool:
        """Whether events flow: started, tables recovered, in no rebalance."""
        return self.started and self.tables.actives_ready and not self.rebalancing and not self.should_stop

    def source(self, name: str, maxsize: int | None = None) -> TopicT:
        """A topic whose records come as bytes: what Faust cannot decode, it drops. So many messages wait at most."""
        return self.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", maxsize=maxsize)


def create_app(settings: Settings, service: str, slot: Slot, replicas: int = 1) -> App:
    """The app of consumer group `service` in `slot`; topics of tables get so many `replicas`. Starts nothing.

    Raises FailedPrecondition where no Kafka is known.
    """
    if not settings.kafka:
        raise FailedPrecondition("no Kafka: start the engines (`soms engines`, `soms up`) or set SOMS_KAFKA")
    return App(service, **_options(settings.kafka, slot, replicas))


def _options(kafka: str, slot: Slot, replicas: int) -> dict[str, Any]:
    return {
        "env": {},
        "broker": [f"kafka://{address}" for address in kafka.split(",")],
        "broker_client_id": slot.member,
        "consumer_group_instance_id": slot.member,
        # workers know each other by it; a known member with another URL would wait for ever
        "canonical_url": f"http://{slot.member}",
        "datadir": str(slot.folder),
        "store": "memory://",
        "TableManager": StrictTables,
        "Table": FencedTable,
        "topic_partitions": PARTITIONS,
        "topic_replication_factor": replicas,
        "table_standby_replicas": 0,
        # for tables on disk; in memory, our own writes may be confirmed while a rebalance asks for the ends of changelogs
        "recovery_consistency_check": False,
        # the drain of `strict` fits into the time that a rebalance waits for a member
        "broker_session_timeout": 10.0,
        "broker_heartbeat_interval": 1.0,
        "broker_rebalance_timeout": 30.0,
        "broker_commit_interval": 1.0,
        "stream_wait_empty": True,
        # small bites, so that no partition waits long for its turn
        "consumer_max_fetch_size": 1 << 16,
        "stream_buffer_maxsize": 1024,
        "producer_acks": -1,
        "producer_request_timeout": 30.0,
        "producer_linger": 0.02,
        "producer_max_batch_size": 1 << 17,
        # a dead letter is larger than its event
        "producer_max_request_size": 2 << 20,
        "web_enabled": False,
        "worker_redirect_stdouts": False,
    }
