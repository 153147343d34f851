"""Reads changelogs in large bites, past Faust, which takes 150 µs a record. Knows no table."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord
from faust.types import TP

RECORDS: Final = 2000
WAIT_MILLISECONDS: Final = 200


async def reread(kafka: str, after: Mapping[TP, int], last: Mapping[TP, int]) -> AsyncIterator[tuple[TP, Sequence[ConsumerRecord]]]:
    """The records of each partition behind offset `after` up to `last`, in order; an empty lot says that a partition is through.

    Raises KafkaError while the brokers are away.
    """
    places = {TopicPartition(*tp): tp for tp, offset in after.items() if offset < last[tp]}
    if not places:
        return
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, client_id="soms-reread", enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        consumer.assign(list(places))
        for place, tp in places.items():
            consumer.seek(place, max(after[tp] + 1, 0))
        while places:
            for place, records in (await consumer.getmany(*places, timeout_ms=WAIT_MILLISECONDS, max_records=RECORDS)).items():
                yield places[place], records
            for place, tp in tuple(places.items()):
                if await consumer.position(place) > last[tp]:
                    del places[place]
                    yield tp, ()
    finally:
        await consumer.stop()
