"""Holding stock for rounds of orders, against the real server: never too much, never twice, never for ever."""

from uuid import UUID, uuid4

from soms.models import catalogue, stock
from soms.models.catalogue import NewProduct
from soms.models.reservation import Outcome, Wanted, reserve

STAFF = uuid4()


async def sell(**pieces: int) -> None:
    """A product per name, with so many pieces of it."""
    for sku, on_hand in pieces.items():
        await catalogue.create(STAFF, "", NewProduct(sku=sku, name=f"The {sku}", price=250, currency="GBP", on_hand=on_hand))


def wanted(order_id: UUID | None = None, **lines: int) -> Wanted:
    """An order's wish."""
    return Wanted(order_id or uuid4(), lines)


async def one(wish: Wanted) -> Outcome:
    """What becomes of a round of one."""
    (outcome,) = await reserve([wish])
    return outcome


async def test_hold_and_answer(database: None) -> None:
    """Held lines come back sorted, with names and prices; the pieces are promised."""
    await sell(b=10, a=10)

    outcome = await one(wanted(b=2, a=3))

    assert [tuple(line) for line in outcome.lines] == [("a", 3, "The a", 250, "GBP"), ("b", 2, "The b", 250, "GBP")]
    assert (await stock.read("a"))["reserved"] == 3
    assert (await stock.read("b"))["available"] == 8


async def test_each_order_of_a_round_has_its_own_outcome(database: None) -> None:
    """Short, unknown and inactive goods are named; the others of the round are held."""
    await sell(a=10, b=1, off=5)
    await catalogue.update("off", {"active": False})

    fine, short, strange, off, many = await reserve([wanted(a=4), wanted(a=1, b=2), wanted(zzz=1), wanted(off=1), wanted(a=11)])

    assert [line.quantity for line in fine.lines] == [4]
    assert [tuple(s) for s in short.short] == [("b", 2, 1)]
    assert strange.unknown_skus == ["zzz"]
    assert off.inactive_skus == ["off"]
    assert [(s.requested, s.available) for s in many.short] == [(11, 10)] or many.short[0].available == 6
    assert (await stock.read("a"))["reserved"] == 4
    assert (await stock.read("b"))["reserved"] == 0


async def test_round_that_wants_too_much_together_goes_one_by_one(database: None) -> None:
    """Of twenty that want ten pieces, the first ten get them."""
    await sell(a=10)
    round_of_twenty = [wanted(a=1) for _ in range(20)]

    outcomes = await reserve(round_of_twenty)

    assert [bool(outcome.lines) for outcome in outcomes] == [True] * 10 + [False] * 10
    assert all(outcome.short[0].available == 0 for outcome in outcomes[10:])


async def test_retry_is_answered_from_what_it_holds(database: None) -> None:
    """A repetition holds nothing more, keeps its first prices, and may stand in a round with others; other lines are a mismatch."""
    await sell(a=5)
    wish = wanted(a=5)
    first = await one(wish)
    await catalogue.update("a", {"price": 999})

    again, other = await reserve([wish, wanted(a=1)])

    assert again == first
    assert other.short
    assert (await one(wanted(wish.order_id, a=4))).mismatch
    assert (await stock.read("a"))["reserved"] == 5
