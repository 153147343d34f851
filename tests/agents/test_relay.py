"""The relay at work: what arrives on Kafka, when, and what waits for what."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession

from soms.agents import relay as module
from soms.agents.process import Vitals, listening
from soms.agents.relay import relaying
from soms.config import Settings
from soms.envelope import read
from soms.errors import FailedPrecondition
from soms.events import UserRegistered, traceparent
from soms.models.backlog import state
from soms.models.database import fetch, transaction
from soms.models.outbox import append

OLD = """
insert into outbox (type, topic, key, payload, created_at, published_at)
select 'soms.order.paid.v1', 'soms.orders', 'old', '{}', now() - interval '40 days', now() - days * interval '1 day'
  from unnest($1::int[]) as days
"""
KEPT = "select extract(day from now() - published_at)::int as days from outbox"
READY = '{"status":"ready","dependencies":{"users":"ready","products":"ready","orders":"ready","analytics":"ready"}}'
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def relay(stack: Settings) -> AsyncIterator[Vitals]:
    """A relay in this process."""
    async with relaying(stack) as vitals:
        yield vitals


async def test_an_event_is_a_cloudevent(stack: Settings, database: None, told: Any) -> None:
    """Headers as the Kafka binding of CloudEvents has them, the key as plain text, and the reader understands it."""
    told.places = [place._replace(topic="soms.users") for place in told.places]
    await told.mark()
    event = UserRegistered(version=1, user_id="0f9c9d3e-5c3f-8a53-9b33-0a51f4f1a6a5", email="ann@example.org", name="Ann")
    traceparent.set(TRACE)
    async with transaction("users"):
        await append("users", event)
    ((event_id, written),) = await fetch("users", "select event_id, created_at from outbox")
    async with relaying(stack):
        (record,) = await told.until(1)

    assert record.key == b"0f9c9d3e-5c3f-8a53-9b33-0a51f4f1a6a5"
    assert record.timestamp == int(written.timestamp() * 1000)
    assert dict(record.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": str(event_id).encode(),
        "ce_type": b"soms.user.registered.v1",
        "ce_source": b"/soms/user",
        "ce_time": written.isoformat().replace("+00:00", "Z").encode(),
        "content-type": b"application/json",
        "traceparent": TRACE.encode(),
    }
    assert read(record.headers, record.key, record.value).event == event


@pytest.mark.parametrize(
    ("at", "recorded"), [("2010-12-01T08:26:00Z", 1291191960), ("1969-01-01T00:00:00Z", 0), ("2999-01-01T00:00:00Z", None)]
)
async def test_records_bear_the_time_of_the_fact(writer: Any, relay: Vitals, told: Any, at: str, recorded: int | None) -> None:
    """An imported order lies on its own day; what Kafka would refuse lies at the next time it takes."""
    before = time.time() - 1
    await writer.write("a", at=at)
    (record,) = await told.until(1)

    assert record.timestamp / 1000 == recorded if recorded is not None else before <= record.timestamp / 1000 <= time.time()


async def test_a_resting_relay_hears_at_once(writer: Any, stack: Settings, told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With polls an hour apart, every event is there within moments: either its writer notifies, or the relay does not rest."""
    monkeypatch.setattr(module, "POLL_SECONDS", 3600)
    async with relaying(stack):
        for burst in (1, 5, 2, 1, 1, 7, 1, 3):
            for _ in range(burst):
                await writer.write("a")
            await writer.drained(3)

    assert await told.ids() == writer.ids


async def test_a_key_waits_behind_its_first_failure(
    writer: Any, relay: Vitals, told: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event too large for Kafka stops its own key alone; that is told; when the cause is gone the key goes on in order."""
    monkeypatch.setattr(module, "HOLD_SECONDS", 0.5)
    for filler in ("", "x" * 1_000_001, ""):
        await writer.write("sick", filler=filler)
    for number in range(50):
        await writer.write(f"well-{number}")
    await told.until(51)

    async def two_wait() -> bool:
        return (await state("orders")).waiting == 2

    await eventually(two_wait)
    assert await told.versions() == {"sick": [1]} | {f"well-{number}": [1] for number in range(50)}
    await fetch("orders", "update outbox set created_at = created_at - interval '1 minute' where published_at is null")
    assert [(one.key, one.waiting) for one in (await state("orders")).stuck] == [("sick", 2)]

    await fetch("orders", """update outbox set payload = '{"version": 2}' where octet_length(payload) > 1000000""")
    await writer.drained()
    assert (await told.versions())["sick"] == [1, 2, 3]


async def test_a_refusal_by_the_broker_stops_its_key_alone(
    writer: Any, stack: Settings, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the broker's limit is lower than ours, a whole batch is refused; then its events go one by one, and all but one arrive."""
    monkeypatch.setattr("soms.agents.producer.LARGEST_BYTES", 4_000_000)
    for number in range(20):
        await writer.write("big" if number == 10 else f"small-{number}", filler="x" * (1_500_000 if number == 10 else 100))
    async with relaying(stack):
        await told.until(19)

    assert sorted(await told.versions()) == sorted(f"small-{number}" for number in range(20) if number != 10)
    assert (await state("orders")).waiting == 1


async def test_old_events_go_when_they_were_published_long_ago(database: None, stack: Settings, eventually: Any) -> None:
    """What was published more than 7 days ago is dropped; what waits stays, however old."""
    await fetch("orders", OLD, [6, 8, 30])

    async def kept() -> bool:
        return [row["days"] for row in await fetch("orders", "select extract(day from now() - published_at)::int as days from outbox")] == [
            6
        ]

    async with relaying(stack):
        await eventually(kept)


async def test_health_and_figures(writer: Any, relay: Vitals, eventually: Any) -> None:
    """The HTTP port tells whether each outbox is looked after, and what was published."""
    await writer.write("a")
    async with listening(vitals=relay, host="127.0.0.1") as port, ClientSession(f"http://127.0.0.1:{port}") as http:

        async def asked(path: str, *words: str) -> bool:
            async with http.get(path) as answer:
                return answer.status == 200 and set(words) <= set((await answer.text()).splitlines())

        await eventually(
            lambda: asked("/metrics", 'soms_relay_published_total{schema="orders"} 1.0', 'soms_relay_active{schema="orders"} 1.0')
        )
        await eventually(lambda: asked("/readyz", READY))
        assert await asked("/healthz")


async def test_without_kafka_it_says_what_to_do(settings: Settings) -> None:
    """The message names the setting."""
    with pytest.raises(FailedPrecondition, match="SOMS_KAFKA"):
        async with relaying(settings.model_copy(update={"kafka": None})):
            pass
