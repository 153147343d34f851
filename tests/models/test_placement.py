"""Placement and its fence, transitions, keys: against real PostgreSQL, with stock reserved by hand."""

import asyncio
from contextvars import Context
from typing import Any
from uuid import UUID, uuid4

import pytest

from soms.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from soms.events import OrderEvent
from soms.models import order_document, placement, transition
from soms.models.database import fetch
from soms.models.draft import Draft, Placement, ReservedLine
from soms.models.fulfilment import Settlement
from soms.models.idempotency import Answer
from soms.models.order import Action
from soms.models.transition import Actor, Change, change

SECRET = b"secret"
ANN = uuid4()


def asked(key: str = "", *lines: tuple[str, int]) -> Placement:
    """A placement of Ann's."""
    return Placement(ANN, "ann@example.org", key or uuid4().hex, lines or (("A", 2), ("B", 1)))


def reserved(draft: Draft) -> Draft:
    """Reserve every line at 150 pence."""
    draft.lines = [ReservedLine(sku, pieces, f"Product {sku}", 150, "GBP") for sku, pieces in draft.placement.lines]
    return draft


async def placed(*wanted: Placement) -> list[Draft]:
    """Place orders in one round."""
    drafts = [reserved(draft) for draft in await placement.look_up(SECRET, wanted) if isinstance(draft, Draft)]
    await placement.place(drafts)
    return drafts


def by(who: UUID = ANN, *, staff: bool = False) -> Actor:
    """Somebody who changes orders."""
    return Actor("staff" if staff else "customer", str(who), who, None if staff else who)


def standing(row: Any) -> Settlement:
    """What an outbox row says to stock."""
    return Settlement.of(OrderEvent.model_validate_json(row["payload"]))


async def test_a_round_is_stored_and_read_back(database: None) -> None:
    """What was placed is what is read, event and timeline included."""
    drafts = await placed(asked(), asked(), asked("", ("C", 7)))

    for draft in drafts:
        assert await order_document.read(draft.order_id, ANN) == draft.document
    entries, _ = await order_document.timeline(drafts[0].order_id, ANN, 0, "")
    assert [(e["status_from"], e["status_to"], e["version"]) for e in entries] == [(None, "placed", 1)]
    events = await fetch("orders", "select type, key, payload from outbox order by id")
    assert [(e["type"], e["key"]) for e in events] == [("soms.order.placed.v1", str(d.order_id)) for d in drafts]
    assert standing(events[2]) == Settlement(drafts[2].order_id, 1, "placed")


async def test_a_retry_gets_the_first_answer(database: None) -> None:
    """The same key and body is answered again with the same document; another body is a mismatch."""
    (draft,) = await placed(asked("k"))

    (again, other) = await placement.look_up(SECRET, [asked("k"), asked("k", ("A", 1))])

    assert again == Answer(draft.document, replayed=True)
    assert isinstance(other, InvalidArgument)
    assert other.reason == "idempotency_mismatch"


async def test_rivals_on_one_key(database: None) -> None:
    """Of ten copies that place at once, one order stands and nine are told so by the key."""
    drafts = [reserved(d) for _ in range(10) for d in await placement.look_up(SECRET, [asked("k")]) if isinstance(d, Draft)]

    results = await asyncio.gather(*(placement.place([d]) for d in drafts), return_exceptions=True)

    assert sum(r is None for r in results) == 1
    assert sum(isinstance(r, placement.RivalError) for r in results) == 9
    assert (await fetch("orders", "select count(*) from orders"))[0][0] == 1


async def test_the_fence_keeps_a_late_placement_out(database: None) -> None:
    """An order that was resolved as abandoned can't be placed any more, and its key goes on with a new id."""
    (draft,) = await placement.look_up(SECRET, [asked("k")])
    assert isinstance(draft, Draft)
    assert await placement.resolve(draft.order_id) is None

    with pytest.raises(placement.RivalError):
        await placement.place([reserved(draft)])
    (following,) = await placement.look_up(SECRET, [asked("k")])

    assert isinstance(following, Draft)
    assert following.order_id != draft.order_id


async def test_without_the_fence_a_late_placement_slips_in(database: None) -> None:
    """The broken twin: with the fence's key gone, the abandoned order is placed although its stock was released."""
    (draft,) = await placement.look_up(SECRET, [asked("k")])
    assert isinstance(draft, Draft)
    await placement.resolve(draft.order_id)
    await fetch("orders", "delete from attempt")

    await placement.place([reserved(draft)])

    assert await order_document.read(draft.order_id)


async def test_what_is_placed_stays(database: None) -> None:
    """Resolving an order that stands gives the order, also when both happen at once."""
    (draft,) = await placement.look_up(SECRET, [asked()])
    assert isinstance(draft, Draft)

    attempt, resolved = await asyncio.gather(placement.place([reserved(draft)]), placement.resolve(draft.order_id), return_exceptions=True)

    assert (attempt is None) == (resolved is not None)


async def test_a_refusal_is_kept(database: None) -> None:
    """A stock refusal is answered again under its key, marked as replayed, and its attempt is closed."""
    (draft,) = await placement.look_up(SECRET, [asked("k")])
    assert isinstance(draft, Draft)
    short = [{"sku": "A", "requested": 2, "available": 1}]
    await placement.refuse([(draft, FailedPrecondition("too little", reason="insufficient_stock", short=short))])

    (again,) = await placement.look_up(SECRET, [asked("k")])

    assert isinstance(again, FailedPrecondition)
    assert again.details == {"short": short, "replayed": True, "request_id": None}
    with pytest.raises(placement.RivalError):
        await placement.place([reserved(draft)])


async def test_life_of_an_order(database: None) -> None:
    """Placed, paid, shipped, delivered, returned in two parts: versions, timeline, events and counts agree."""
    (draft,) = await placed(asked())
    steps = [
        (Action.PAY, False, ()),
        (Action.SHIP, True, ()),
        (Action.DELIVER, True, ()),
        (Action.RETURN, True, (("A", 1),)),
        (Action.RETURN, True, ()),
    ]

    answers = [await change(Change(draft.order_id, action, by(staff=staff), returned=back)) for action, staff, back in steps]

    assert [(a.document["status"], a.document["version"]) for a in answers] == [
        ("paid", 2),
        ("shipped", 3),
        ("delivered", 4),
        ("delivered", 5),
        ("returned", 6),
    ]
    assert [line["returned_quantity"] for line in answers[-1].document["lines"]] == [2, 1]
    entries, token = await order_document.timeline(draft.order_id, None, 4, "")
    rest, end = await order_document.timeline(draft.order_id, None, 4, token)
    assert [e["version"] for e in [*entries, *rest]] == [1, 2, 3, 4, 5, 6]
    assert end == ""
    rows = await fetch("orders", "select payload from outbox order by id")
    assert [standing(row).returned for row in rows][-2:] == [{"A": 1}, {"A": 2, "B": 1}]


@pytest.mark.parametrize("rivals", [(Action.CANCEL, Action.CANCEL), (Action.CANCEL, Action.PAY)])
async def test_rival_changes(database: None, rivals: tuple[Action, Action]) -> None:
    """Of rival changes with the same version seen, one wins, the others are refused."""
    (draft,) = await placed(asked())
    wanted = [Change(draft.order_id, action, by(), if_version=1) for action in rivals * 4]

    results = await asyncio.gather(*map(change, wanted), return_exceptions=True)

    assert sum(isinstance(r, Answer) for r in results) == 1
    assert sum(isinstance(r, Aborted) and r.reason == "stale_version" for r in results) == 7


async def test_keyed_change_happens_once(database: None) -> None:
    """Ten copies of a keyed cancellation get one answer; without the key the repetition is refused."""
    (draft,) = await placed(asked())
    wanted = Change(draft.order_id, Action.CANCEL, by(), key="c")

    answers = await asyncio.gather(*(change(wanted) for _ in range(10)))

    assert sorted(a.replayed for a in answers) == [False] + [True] * 9
    assert all(a.document == answers[0].document for a in answers)
    with pytest.raises(FailedPrecondition) as refused:
        await change(Change(draft.order_id, Action.CANCEL, by()))
    assert refused.value.details == {"order_status": "cancelled", "allowed": []}


async def test_a_placement_under_the_same_key_goes_first(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change whose key a placement took in the meantime changes nothing, and says that the key is in flight."""
    (draft,) = await placed(asked())
    (rival,) = await placement.look_up(SECRET, [asked("k")])
    assert isinstance(rival, Draft)
    real = transition.read

    async def slow(*arguments: Any) -> Any:
        if not await fetch("orders", "select 1 from idempotency where key = 'k'"):
            await asyncio.get_running_loop().create_task(placement.place([reserved(rival)]), context=Context())
        return await real(*arguments)

    monkeypatch.setattr(transition, "read", slow)
    with pytest.raises(Aborted) as refused:
        await change(Change(draft.order_id, Action.CANCEL, by(), key="k"))

    assert refused.value.reason == "in_flight"
    assert (await order_document.read(draft.order_id))["status"] == "placed"


async def test_foreign_and_unknown_are_alike(database: None) -> None:
    """Somebody else's order is as unknown as one that never was."""
    (draft,) = await placed(asked())

    with pytest.raises(NotFound):
        await change(Change(draft.order_id, Action.CANCEL, by(uuid4())))
    with pytest.raises(NotFound):
        await change(Change(uuid4(), Action.CANCEL, by()))


async def test_over_return(database: None) -> None:
    """More than is left, or goods the order never had, change nothing."""
    (draft,) = await placed(asked())
    for action in (Action.PAY, Action.SHIP, Action.DELIVER):
        await change(Change(draft.order_id, action, by(staff=True)))

    for back, kind in [((("A", 3),), "over_return"), ((("X", 1),), "unknown_sku")]:
        with pytest.raises((FailedPrecondition, InvalidArgument)) as refused:
            await change(Change(draft.order_id, Action.RETURN, by(staff=True), returned=back))
        assert refused.value.reason == kind
    assert (await order_document.read(draft.order_id))["version"] == 4


async def test_pages_neither_skip_nor_repeat(database: None) -> None:
    """Pages of three cover seven orders, newest first."""
    drafts = [d for _ in range(7) for d in await placed(asked())]
    seen, token = [], ""
    for _ in range(3):
        shown, token = await order_document.page(order_document.Filter(ANN), 3, token)
        seen += [document["id"] for document in shown]

    assert seen == [str(d.order_id) for d in reversed(drafts)]
    assert token == ""
