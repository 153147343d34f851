"""How an order service places: look keys up, have the product service reserve, make the round durable; one by one where it clashes."""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

from soms.errors import Aborted, FailedPrecondition, InvalidArgument, ResourceExhausted, SomsError
from soms.models import placement as orders
from soms.models.draft import Draft, Placement, ReservedLine
from soms.models.idempotency import Answer, in_flight, mismatch
from soms.models.placement import RivalError
from soms.rounds import Rounds
from soms.rpc import context
from soms.rpc.gen.soms import v1
from soms.values import LARGEST_TOTAL, MAXIMUM_LINES

IN_FLIGHT_SECONDS = 1.0
ROUND_SECONDS = 2.0
TRIES = 3


class Placing:
    """Places orders for one instance; any number of instances may work on the same keys."""

    def __init__(self, secret: bytes, products: v1.ProductServiceStub) -> None:
        """`secret` derives order ids and is the same for every instance; `products` is called as a service."""
        self._secret, self._products = secret, products
        self.rounds: Rounds[Placement, Answer] = Rounds(self._round)
        self._under_way: dict[tuple[object, str], asyncio.Event] = {}

    async def place(self, placement: Placement) -> Answer:
        """The answer to a placement: now, or as it was given before.

        Raises FailedPrecondition (`insufficient_stock`, `product_inactive`), InvalidArgument (`unknown_sku`, `idempotency_mismatch`),
        Aborted (`in_flight`), Unavailable.
        """
        slot = (placement.user_id, placement.key)
        with _in_flight():
            async with asyncio.timeout(IN_FLIGHT_SECONDS):
                while rival := self._under_way.get(slot):
                    await rival.wait()
        done = self._under_way[slot] = asyncio.Event()
        try:
            return await (self.rounds.submit(placement) if len(placement.lines) <= MAXIMUM_LINES else self._alone(placement))
        finally:
            del self._under_way[slot]
            done.set()

    async def _alone(self, placement: Placement) -> Answer:
        """What is too large to share a round; it has all the time of its call."""
        (outcome,) = await self._place([placement])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def _round(self, placements: Sequence[Placement]) -> list[Answer | Exception]:
        context.begin(context.Call(deadline=time.monotonic() + ROUND_SECONDS))
        return await self._place(placements)

    async def _place(self, placements: Sequence[Placement]) -> list[Answer | Exception]:
        outcomes = await orders.look_up(self._secret, placements)
        drafts = [outcome for outcome in outcomes if isinstance(outcome, Draft)]
        finished = iter(await self._finish(drafts, TRIES) if drafts else ())
        return [next(finished) if isinstance(outcome, Draft) else outcome for outcome in outcomes]

    async def _finish(self, drafts: list[Draft], tries: int) -> list[Answer | Exception]:
        """Reserve for these drafts, then store what came of each: all at once, or one by one where a rival is in the way."""
        refusals = await self._reserve(drafts)
        try:
            await self._store(drafts, refusals)
        except RivalError:
            if len(drafts) > 1:
                return [answer for draft in drafts for answer in await self._finish([draft], tries)]
            return [await self._again(drafts[0].placement, tries - 1)]
        return [refusal or Answer(draft.document, replayed=False) for draft, refusal in zip(drafts, refusals, strict=True)]

    async def _again(self, placement: Placement, tries: int) -> Answer | Exception:
        """A rival was faster: answer as it was answered, or try once more where its attempt came to nothing."""
        (outcome,) = await orders.look_up(self._secret, [placement])
        if not isinstance(outcome, Draft):
            return outcome
        if not tries:
            return in_flight()
        return (await self._finish([outcome], tries))[0]

    async def _reserve(self, drafts: list[Draft]) -> list[SomsError | None]:
        wanted = [
            v1.Reservation(str(draft.order_id), [v1.ReservationLine(sku, quantity) for sku, quantity in draft.placement.lines])
            for draft in drafts
        ]
        response = await self._products.reserve_stock(v1.ReserveStockRequest(wanted))
        return [_held(draft, outcome) for draft, outcome in zip(drafts, response.outcomes, strict=True)]

    async def _store(self, drafts: list[Draft], refusals: list[SomsError | None]) -> None:
        held = [draft for draft, refusal in zip(drafts, refusals, strict=True) if refusal is None]
        kept = [(d, r) for d, r in zip(drafts, refusals, strict=True) if isinstance(r, FailedPrecondition)]
        void = [draft for draft, refusal in zip(drafts, refusals, strict=True) if isinstance(refusal, VOID)]
        if held:
            await orders.place(held)
        if kept:
            await orders.refuse(kept)
        for draft in void:
            await orders.resolve(draft.order_id)
            await self._release(draft.order_id)

    async def _release(self, order_id: UUID) -> None:
        """Give back what was reserved for an order that will never be; the resolver of stale reservations would, too, but later."""
        with contextlib.suppress(SomsError):
            await self._products.settle_stock(v1.SettleStockRequest([v1.Settlement(str(order_id), 1, "abandoned")]))


class Untenable(InvalidArgument):
    """Goods of several currencies, or worth more than can be counted, can't be one order."""


# nothing of these is kept, and what was reserved for them is given back
VOID: Final = (Untenable, ResourceExhausted)


def _held(draft: Draft, outcome: v1.ReservationOutcome) -> SomsError | None:
    """Take the reserved lines into the draft, or say why there are none."""
    if refused := _refusal(outcome):
        return refused
    draft.lines = [ReservedLine(line.sku, line.quantity, line.name, line.unit_price, line.currency) for line in outcome.lines]
    if len({line.currency for line in draft.lines}) > 1:
        return Untenable.field("lines", "mixed_currencies", "goods of one order have one currency")
    return _untold(draft) if draft.placement.entry else None


def _untold(draft: Draft) -> SomsError | None:
    """Why an order of thousands of lines cannot be; others are small enough."""
    if draft.document["total"] > LARGEST_TOTAL:
        return Untenable.field("lines", "less_than_equal", "the lines add up to more than can be counted")
    try:
        _ = draft.event.payload
    except ResourceExhausted as refusal:
        return refusal
    return None


def _refusal(outcome: v1.ReservationOutcome) -> SomsError | None:
    if outcome.unknown_skus:
        return InvalidArgument("nobody knows these goods", reason="unknown_sku", skus=outcome.unknown_skus)
    if outcome.inactive_skus:
        return FailedPrecondition("these goods are not sold", reason="product_inactive", skus=outcome.inactive_skus)
    if outcome.short:
        short = [{"sku": s.sku, "requested": s.requested, "available": s.available} for s in outcome.short]
        return FailedPrecondition("there is too little of these goods", reason="insufficient_stock", short=short)
    if outcome.mismatch:
        return mismatch()
    return Aborted("this attempt was abandoned just now", reason="in_flight", retry_after=1) if outcome.released else None


@contextlib.contextmanager
def _in_flight() -> Iterator[None]:
    try:
        yield
    except TimeoutError as cause:
        raise in_flight() from cause
