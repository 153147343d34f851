"""Live windows under load and faults, on a real broker: every worker tells the truth about all partitions, to the penny."""

import asyncio
from typing import Any

import pytest


async def test_every_worker_answers_for_all(shop: Any, until: Any) -> None:
    """Orders out of order, called off and told twice: two workers share the partitions, and both tell the whole truth."""
    workers = [await shop.start(), await shop.start()]
    await shop.busy(2000, 2000)
    for worker in workers:
        await until(lambda worker=worker: shop.tells(worker))

    assert sum(minute["orders"] for minute in shop.truth.values()) == 2000
    document = await shop.live(workers[0])
    assert document["totals"]["last_hour"]["orders"] == 2000
    assert document["top_products"][0]["revenue"]


@pytest.mark.timeout(300)
async def test_a_worker_is_killed_under_load(shop: Any, until: Any) -> None:
    """20,000 orders, two workers, one killed with no goodbye and started again, twice: both tell the truth."""
    workers = [await shop.start(), await shop.start()]
    for worker in workers:
        await until(lambda worker=worker: shop.live(worker))
    feeding = asyncio.create_task(shop.busy(20_000, 2000))
    for _ in range(2):
        orders = len(shop.truth) and sum(minute["orders"] for minute in shop.truth.values())
        await until(lambda orders=orders: feeding.done() or sum(minute["orders"] for minute in shop.truth.values()) > orders + 4000)
        workers[1].process.kill()
        await workers[1].wait()
        workers[1] = await shop.start()
        await until(lambda: shop.live(workers[1]))
    await feeding
    for worker in workers:
        await until(lambda worker=worker: shop.tells(worker), 90)


async def test_without_a_fence_windows_count_twice(shop: Any, until: Any) -> None:
    """The broken twin: what comes again after a kill counts again."""
    worker = await shop.start(WORKER_TWIN="unfenced")
    await until(lambda: shop.live(worker))
    feeding = asyncio.create_task(shop.busy(6000, 1500))
    for _ in range(2):
        before = sum(minute["orders"] for minute in shop.truth.values())
        await until(lambda before=before: feeding.done() or sum(minute["orders"] for minute in shop.truth.values()) > before + 1500)
        worker.process.kill()
        await worker.wait()
        worker = await shop.start(WORKER_TWIN="unfenced")
        await until(lambda worker=worker: shop.live(worker))
    await feeding

    async def through() -> bool:
        document = await shop.live(worker)
        return bool(document) and document["lag_seconds"] == 0

    await until(through)
    document = await shop.live(worker)
    assert document["totals"]["last_hour"]["orders"] > 6000
