"""Live windows under load and faults, on a real broker: every worker tells the truth about all partitions, to the penny."""

import asyncio
import time
from collections import Counter
from typing import Any

import aiohttp
import pytest

from soms.local.kafka import Kafka
from tests.agents.analytics.memory import remembered


async def test_every_worker_answers_for_all(shop: Any) -> None:
    """Orders out of order, in two currencies, called off and told twice: two workers share the partitions, both tell the whole truth."""
    workers = [await shop.start(), await shop.start()]
    await shop.busy(2000, 2000)
    for worker in workers:
        document = await shop.tells(worker)

    assert shop.orders == document["totals"]["last_hour"]["orders"] == 2000
    assert set(document["totals"]["last_hour"]["revenue"]) == {"EUR", "GBP"}
    assert document["top_products"][0]["revenue"]


@pytest.mark.timeout(900)
async def test_a_worker_is_killed_under_load(shop: Any, until: Any, database: None, request: pytest.FixtureRequest) -> None:
    """`--orders` orders, two workers, one killed with no goodbye and started again, twice.

    Then both tell the truth, history is the truth row by row, and nothing was given up.
    """
    number = request.config.getoption("--orders")
    shop.variables = {"WORKER_HISTORY": "1"}
    workers = [await shop.start(), await shop.start()]
    for worker in workers:
        await until(lambda worker=worker: shop.live(worker))
    feeding = asyncio.create_task(shop.busy(number, 2000))
    for _ in range(2):
        orders = shop.orders
        await until(lambda orders=orders: feeding.done() or shop.orders > orders + number // 5)
        workers[1].process.kill()
        await workers[1].wait()
        workers[1] = await shop.start()
        await until(lambda: shop.live(workers[1]))
    await feeding
    for worker in workers:
        await shop.tells(worker)
    await remembered(shop.book)

    assert not [line for said in shop.said.values() for line in said if "given up" in line]


@pytest.mark.timeout(240)
async def test_the_broker_restarts(shop: Any, until: Any, broker: Kafka) -> None:
    """In the middle of counting: the workers go on where they were, or are started again, and miss and double nothing."""
    workers = [await shop.start(), await shop.start()]
    for worker in workers:
        await until(lambda worker=worker: shop.live(worker))
    feeding = asyncio.create_task(shop.busy(4000, 1000))
    await until(lambda: shop.orders > 1500)
    await broker.stop()
    await broker.start()
    await feeding
    for worker in workers:
        await shop.tells(await shop.start() if worker.ended else worker)


async def recounted(shop: Any, twins: str) -> Any:
    """What a worker tells that was killed after it counted 300 orders and before it said so, with a hundred more behind them."""
    worker = await shop.start(WORKER_TWIN=twins)
    orders = [shop.order(time.time()) for _ in range(400)]
    for order in orders:
        shop.note(order)
    await shop.tell(*orders[:300])
    await shop.counts(worker, 300)
    worker.process.kill()
    await worker.wait()
    await shop.tell(*orders[300:])
    return await shop.start(WORKER_TWIN=twins)


async def test_what_comes_again_counts_once(shop: Any) -> None:
    """A worker that is killed before it commits reads all of it again."""
    await shop.tells(await recounted(shop, "uncommitted"))


async def test_without_a_fence_windows_count_twice(shop: Any) -> None:
    """The broken twin: what comes again after a kill counts again."""
    await shop.counts(await recounted(shop, "uncommitted unfenced"), 700)


async def test_what_is_not_of_now_is_left_out(shop: Any) -> None:
    """Events of yesterday, of the future, of another shop or of absurd sums do not count live; what was left out, and why, is told."""
    worker, now = await shop.start(), time.time()
    known, late, ahead, imported, absurd = (shop.order(now) for _ in range(5))
    shop.note(known)
    await shop.tell(known)
    await shop.tell(late, moment=now - 27 * 3600)
    await shop.tell(ahead, moment=now + 1800)
    await shop.tell(imported.model_copy(update={"external_number": "A-1"}))
    await shop.tell(absurd.model_copy(update={"total": 10**17}))
    document = await shop.tells(worker)

    assert document["totals"]["last_hour"]["orders"] == 1
    async with aiohttp.ClientSession() as session, session.get(f"{shop.address(worker)}/metrics") as answer:
        lines = (await answer.text()).splitlines()
    told = Counter(line for line in lines if line.startswith("soms_live_left_out_total{"))
    assert told == Counter(f'soms_live_left_out_total{{why="{why}"}} 1.0' for why in ("late", "future", "money"))
