"""What is usual, and how surprising a count is against it. Pure: knows no database, no clock and no metric.

**Method.** An hour is compared with the same hour of the week (in local time) of the last `WEEKS` weeks. What is expected is their
midmean, the mean of the middle half: one or two freak weeks in eight move it little, and unlike a median it serves counts of nearly
nothing. A count is then a negative binomial one, Poisson where nothing else is known, with three sources of variance: chance itself;
what the shop varies beyond chance (`scatter`: the squared relative deviation that is left over, from the median absolute deviation of
all busy hours together, as eight values tell nothing of their own spread); and how little eight values tell of the mean (the predictive
distribution of a gamma prior with half an event, so that one order at night is no alarm). A finding is a count whose tail, on one side,
is less likely than `RARE`. Money is counted in pieces of the size that makes it vary like a count (Σv²/Σv of the orders' values v:
the ratio of variance and mean of a sum of randomly many). Rates are counts against the chances there were for them.

Sources: Farrington et al. 1996, A statistical algorithm for the early detection of outbreaks; Noufaily et al. 2013, its negative
binomial form. What it finds without a cause is measured in `docs/decisions/0012-findings.md`.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

WEEKS: Final = 8
# the chance of a count that far out, for each side: one metric of 168 hours a week finds something without a cause once in a year
RARE: Final = 1 / 20_000
# with fewer weeks, nothing is usual yet
FEWEST_WEEKS: Final = 4
# of a gamma prior: half an event, in no time (Jeffreys)
PRIOR_EVENTS: Final = 0.5
# a midmean of normal values is so much less certain than their mean
MIDMEAN_VARIANCE: Final = 1.2
# an hour with fewer events tells of chance, not of the shop
BUSY: Final = 5.0
FEWEST_BUSY: Final = 20
# scatter of a shop of which too little is known, and the most that is believed
USUAL_SCATTER: Final = 0.1
LARGEST_SCATTER: Final = 4.0
# the median absolute deviation of normal values is so much smaller than their standard deviation
MAD: Final = 1.4826
TERMS: Final = 1_000_000
NEGLIGIBLE: Final = 1e-9


class Expected(NamedTuple):
    """A negative binomial count: variance = mean + scatter · mean²."""

    mean: float
    scatter: float

    def above(self, count: int) -> float:
        """The chance of `count` or more."""
        if count <= self.mean:
            return max(0.0, 1 - self.below(count - 1))
        term, total = self._chance(count), 0.0
        for k in range(count, count + TERMS):
            total += term
            term *= (k * self.scatter + 1) * self.mean / ((k + 1) * (1 + self.scatter * self.mean))
            if term <= NEGLIGIBLE * total:
                break
        return min(1.0, total)

    def below(self, count: int) -> float:
        """The chance of `count` or less."""
        if count < 0:
            return 0.0
        if count > self.mean:
            return max(0.0, 1 - self.above(count + 1))
        term, total = self._chance(count), 0.0
        for k in range(count, max(-1, count - TERMS), -1):
            total += term
            if not k:
                break
            term *= k * (1 + self.scatter * self.mean) / (((k - 1) * self.scatter + 1) * self.mean)
            if term <= NEGLIGIBLE * total:
                break
        return min(1.0, total)

    def surprise(self, count: int) -> float:
        """The chance of something as far out on the side of `count`."""
        return self.above(count) if count > self.mean else self.below(count)

    def _chance(self, count: int) -> float:
        """The chance of exactly `count`."""
        if self.scatter < NEGLIGIBLE:
            return math.exp(count * math.log(self.mean) - self.mean - math.lgamma(count + 1))
        shape = 1 / self.scatter
        rest = math.log1p(self.mean / shape)
        ways = math.lgamma(count + shape) - math.lgamma(shape) - math.lgamma(count + 1)
        return math.exp(ways - shape * rest + count * (math.log(self.mean / shape) - rest))


def expected(past: Sequence[float], scatter: float) -> Expected | None:
    """What to expect after these counts of the same hour; None after too few."""
    if len(past) < FEWEST_WEEKS:
        return None
    return predicted(midmean(past) * len(past), len(past), scatter * (1 + MIDMEAN_VARIANCE / len(past)))


def predicted(events: float, spells: float, scatter: float, exposure: float = 1) -> Expected:
    """What to expect in `exposure` spells after so many `events` in so many `spells` (of time, or of chances)."""
    known = events + PRIOR_EVENTS
    return Expected(known / spells * exposure, scatter + 1 / known)


def midmean(values: Sequence[float]) -> float:
    """The mean of the middle half: without the lowest and the highest quarter of at least one value."""
    quarter = len(values) // 4
    return statistics.fmean(sorted(values)[quarter : len(values) - quarter])


def scatter(spells: Iterable[tuple[float, float]]) -> float:
    """How much counts vary beyond chance, of pairs of a count and its mean: the squared relative deviation that chance leaves over."""
    busy = [(count, mean) for count, mean in spells if mean >= BUSY]
    if len(busy) < FEWEST_BUSY:
        return USUAL_SCATTER
    deviation = MAD * statistics.median(abs(count - mean) / mean for count, mean in busy)
    chance = statistics.fmean(1 / mean for _, mean in busy)
    return min(LARGEST_SCATTER, max(0.0, deviation**2 - chance))


def piece(values: float, squares: float) -> float:
    """The amount of money that varies like one event, of the sum of orders' values and that of their squares; at least 1."""
    return max(1.0, squares / values) if values > 0 else 1.0
