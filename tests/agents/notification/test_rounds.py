"""What becomes of events that are under way together: one call, one transaction, and for each of them what would become of it alone."""

import asyncio
from typing import Any
from uuid import uuid4

from soms import events
from soms.agents.intake import Intake
from soms.errors import InvalidArgument, Unavailable
from soms.models.database import fetch
from soms.rpc.gen.soms import v1
from tests.agents.notification.people import ANN, Users, rows, told


async def test_a_round_asks_once(intake: Intake, users: Users, order: Any, woken: list[bool]) -> None:
    """What arrives together is one call for all its readers, who may be unknown, and planned for each as if it had come alone."""
    bob, nobody = uuid4(), uuid4()
    users.know(bob, "bob", email=v1.ChannelPreferences())
    facts = [order(), order(user_id=bob), order(user_id=nobody), order(), order(user_id=None, email="guest@example.org")]
    outcomes = await intake._round([told(fact) for fact in facts])

    assert outcomes == [True, True, False, True, True]
    assert [set(one.user_ids) for one in users.asked] == [{str(ANN), str(bob), str(nobody)}]
    mails = await fetch("notifications", "select order_id, recipient, status from notification where channel = 'email'")
    planned = {row["order_id"]: (row["recipient"], row["status"]) for row in mails}
    assert planned == {
        facts[0].order_id: ("ann@example.org", "pending"),
        facts[1].order_id: ("bob@example.org", "suppressed"),
        facts[3].order_id: ("ann@example.org", "pending"),
        facts[4].order_id: ("guest@example.org", "pending"),
    }
    assert len(woken) == 1


async def test_lanes_share_rounds(intake: Intake, users: Users, order: Any) -> None:
    """One that comes first is handled at once; those that come while rounds are under way share the next."""
    await asyncio.gather(*(intake.handle(told(order())) for _ in range(12)))

    assert len(users.asked) == 3
    assert len(await rows()) == 24


async def test_a_copy_in_a_round_is_told_once(intake: Intake, order: Any) -> None:
    """The same event twice in a round; an id of another value in the same round is refused."""
    envelope = told(order())
    first, second, other = await intake._round([envelope, envelope, told(order(total=7), envelope.id)])

    assert (first, second) == (True, False)
    assert isinstance(other, InvalidArgument)
    assert len(await rows()) == 2


async def test_one_that_is_wrong_spoils_nothing(intake: Intake, order: Any) -> None:
    """What makes no message (an amount beyond 64 bits) and what no database keeps (NUL) are the fault of their events alone."""
    facts = [order(), order(total=1 << 70), order(user_id=None, email="a\0@example.org"), order()]
    fine, huge, unkept, last = await intake._round([told(fact) for fact in facts])

    assert (fine, last) == (True, True)
    assert isinstance(huge, InvalidArgument)
    assert isinstance(unkept, InvalidArgument)
    assert len(await rows()) == 4
    assert len(await fetch("notifications", "select from inbox")) == 2


async def test_only_who_must_ask_waits(intake: Intake, users: Users, order: Any) -> None:
    """Without the user service a guest in the same round is told; the others find that it is away."""
    users.away = True
    low = events.StockLow(version=1, sku="A", name="Mug", available=1, low_threshold=2)
    guest = order(user_id=None, email="guest@example.org")
    outcomes = await intake._round([told(order()), told(guest), told(low)])

    assert [type(one) for one in outcomes] == [Unavailable, bool, Unavailable]
    assert await rows() == [("guest@example.org", "pending")]
