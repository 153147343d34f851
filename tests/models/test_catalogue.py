"""The catalogue on the real server: adding, changing, finding, and what things cost before."""

import asyncio
import base64
from typing import Any
from uuid import uuid4

import orjson
import pytest
from pydantic import ValidationError

from soms.errors import Aborted, AlreadyExists, InvalidArgument, NotFound
from soms.models import catalogue, stock
from soms.models.catalogue import CHANGES, Filter, NewProduct
from soms.models.database import fetch
from soms.models.idempotency import Answer
from soms.models.reservation import Wanted, reserve

STAFF = uuid4()
TEA = {"sku": "TEA-1", "name": "Earl Grey", "description": "Black tea with bergamot", "category": "tea", "price": 850, "currency": "GBP"}


async def add(key: str = "", **members: Any) -> Answer:
    """A product like the tea, but for these members."""
    return await catalogue.create(STAFF, key, NewProduct(**TEA | members))


async def events() -> list[tuple[str, dict[str, Any]]]:
    """What was told, oldest first."""
    rows = await fetch("products", "select type, key, payload from outbox order by id")
    assert {row["key"] for row in rows} <= {"TEA-1"}
    return [(row["type"], orjson.loads(row["payload"])) for row in rows]


async def found(**wanted: Any) -> list[str]:
    """The SKUs of what a search finds."""
    return [product["sku"] for product in (await catalogue.page(Filter(**wanted), 0, ""))[0]]


async def test_create(database: None) -> None:
    """A new product can be read, has its price in the history and its pieces in the ledger, and is told of."""
    answer = await add(on_hand=7, low_threshold=2)

    expected = {**TEA, "available": 7, "active": True, "version": 1}
    assert answer.document == expected == await catalogue.read("TEA-1")
    assert [(row["price"], row["currency"]) for row in (await catalogue.prices("TEA-1", 0, ""))[0]] == [(850, "GBP")]
    assert [(row["kind"], row["delta"]) for row in (await stock.movements("TEA-1", 0, ""))[0]] == [("received", 7)]
    created = {"version": 1, "sku": "TEA-1", "name": "Earl Grey", "category": "tea", "price": 850, "currency": "GBP", "active": True}
    assert await events() == [("soms.product.created.v1", created)]


async def test_sku_is_taken_once(database: None) -> None:
    """Of rivals for a SKU one wins; the others leave nothing behind, and SKUs differ by case."""
    ends = await asyncio.gather(*(add(on_hand=3, name=f"No {n}") for n in range(6)), return_exceptions=True)

    assert sum(isinstance(end, Answer) for end in ends) == 1
    assert {end.reason for end in ends if isinstance(end, AlreadyExists)} == {"sku_taken"}
    assert len(await events()) == len((await stock.movements("TEA-1", 0, ""))[0]) == 1
    assert (await catalogue.create(STAFF, "", NewProduct(**TEA | {"sku": "tea-2"}))).document["sku"] == "tea-2"


async def test_create_under_a_key(database: None) -> None:
    """A repetition gets the first answer; another product under the key is a mismatch."""
    first, again = await add("k", on_hand=1), await add("k", on_hand=1)

    assert (first.document, False, True) == (again.document, first.replayed, again.replayed)
    with pytest.raises(InvalidArgument):
        await add("k", on_hand=2)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sku": "a/b"},
        {"sku": " a"},
        {"sku": ".."},
        {"sku": ""},
        {"name": "  "},
        {"name": "x" * 201},
        {"name": "a\x00b"},
        {"description": "x" * 5001},
        {"category": ""},
        {"price": -1},
        {"price": 1_000_000_001},
        {"price": 1.5},
        {"price": True},
        {"currency": "gbp"},
        {"on_hand": -1},
        {"on_hand": 1_000_000_001},
        {"low_threshold": -1},
        {"rebate": 1},
    ],
)
def test_new_products_have_bounds(wrong: dict[str, Any]) -> None:
    """What rest.md does not allow is refused by the name of the field."""
    with pytest.raises(ValidationError) as refusal:
        NewProduct(**TEA | wrong)

    assert refusal.value.errors()[0]["loc"][0] == next(iter(wrong))


async def test_update(database: None) -> None:
    """What is named changes, the rest stays; prices go into the history; all is told."""
    await add()

    changed = await catalogue.update("TEA-1", {"price": 900, "name": "Earl Grey, loose", "category": None})
    await catalogue.update("TEA-1", {"price": 900, "currency": "EUR", "active": False})

    assert changed == {**TEA, "name": "Earl Grey, loose", "category": None, "price": 900, "available": 0, "active": True, "version": 2}
    prices, _ = await catalogue.prices("TEA-1", 0, "")
    assert [(row["price"], row["currency"]) for row in prices] == [(900, "EUR"), (900, "GBP"), (850, "GBP")]
    assert sorted((row["since"] for row in prices), reverse=True) == [row["since"] for row in prices]
    assert [(kind, told["version"]) for kind, told in (await events())[1:]] == [
        ("soms.product.price_changed.v1", 2),
        ("soms.product.updated.v1", 2),
        ("soms.product.price_changed.v1", 3),
        ("soms.product.updated.v1", 3),
    ]
    assert (await events())[3][1]["old_currency"] == "GBP"


async def test_update_that_changes_nothing(database: None) -> None:
    """The same values again are no new version and no news; a new threshold is."""
    await add()
    assert (await catalogue.update("TEA-1", {"price": 850, "name": "Earl Grey", "low_threshold": 0}))["version"] == 1
    assert (await catalogue.update("TEA-1", {}))["version"] == 1
    assert len(await events()) == 1
    assert (await catalogue.update("TEA-1", {"low_threshold": 4}))["version"] == 2
    assert (await stock.read("TEA-1"))["low_threshold"] == 4


async def test_rivals_for_a_version(database: None) -> None:
    """Of eight that saw version 1 one changes it, the others learn that they are late."""
    await add()
    ends = await asyncio.gather(*(catalogue.update("TEA-1", {"price": n}, if_version=1) for n in range(8)), return_exceptions=True)

    assert sum(isinstance(end, dict) for end in ends) == 1
    assert {end.reason for end in ends if isinstance(end, Aborted)} == {"stale_version"}
    assert len((await catalogue.prices("TEA-1", 0, ""))[0]) == 2


def test_changes_have_bounds() -> None:
    """Changes are held to the same bounds, and a name can't be taken away."""
    for wrong in ({"name": ""}, {"name": None}, {"price": -1}, {"low_threshold": -1}, {"active": "maybe"}):
        with pytest.raises(ValidationError):
            CHANGES.validate_python(wrong)


async def test_unknown_product(database: None) -> None:
    """There is nothing to read, change or list of what nobody sells."""
    for asked in (catalogue.read("x"), catalogue.update("x", {"price": 1}), catalogue.prices("x", 0, "")):
        with pytest.raises(NotFound):
            await asked


async def test_search(database: None) -> None:
    """Each word is looked for in SKU, name and description, whatever its case; signs of LIKE mean themselves."""
    await add(sku="TEA-1", on_hand=1)
    await add(sku="TEA-2", name="100% Assam_Tea", description="", category="Tea")
    await add(sku="POT", name="Кружка \\ pot", description="holds 100 ml", category=None, on_hand=1)
    await catalogue.update("POT", {"active": False})
    await reserve([Wanted(uuid4(), {"TEA-1": 1})])

    assert await found() == ["POT", "TEA-2", "TEA-1"]
    assert await found(q="tea") == ["TEA-2", "TEA-1"]
    assert await found(q="BERGAMOT earl") == ["TEA-1"]
    assert await found(q="100%") == await found(q="m_t") == ["TEA-2"]
    assert await found(q="кРУЖКА") == await found(q="\\") == ["POT"]
    assert await found(category="tea") == ["TEA-1"]
    assert await found(in_stock=True) == ["POT"]
    assert await found(in_stock=False) == ["TEA-2", "TEA-1"]
    assert await found(active=True, q="tea") == ["TEA-2", "TEA-1"]
    assert await found(active=False) == ["POT"]


async def test_pages(database: None) -> None:
    """Pages neither skip nor repeat, while products come in, even those of one moment; a made-up token is refused."""
    await asyncio.gather(*(add(sku=f"S-{n:02}") for n in range(12)))
    await fetch("products", "update product set created_at = now() where sku > 'S-05'")
    seen, token = [], ""
    for late in range(5):
        products, token = await catalogue.page(Filter(), 3, token)
        seen += [product["sku"] for product in products]
        await add(sku=f"LATE-{late}")
        if not token:
            break

    assert sorted(seen) == [f"S-{n:02}" for n in range(12)]


@pytest.mark.parametrize(
    "forged",
    ["x", "[]", '["now","a"]', '["2026-01-01T00:00:00","a"]', '["2026-01-01T00:00:00Z","a\\u0000"]', "[9223372036854775808]", "[5]"],
)
async def test_forged_page_tokens(database: None, forged: str) -> None:
    """A token that is none of ours is refused before it reaches the database."""
    await add()
    token = base64.urlsafe_b64encode(forged.encode()).decode()

    with pytest.raises(InvalidArgument):
        await catalogue.page(Filter(), 3, token)
    with pytest.raises(InvalidArgument):
        await stock.movements("TEA-1", 3, token)
    if forged != "[5]":
        with pytest.raises(InvalidArgument):
            await catalogue.prices("TEA-1", 3, token)
