"""What is usual: the distribution is one, expectations follow their past and no freak, and chance alone seldom looks like a finding."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soms.models import baseline
from soms.models.baseline import RARE, Expected

means = st.floats(0.01, 500)
scatters = st.one_of(st.just(0.0), st.floats(1e-6, 4))
counts = st.integers(0, 2000)


@settings(deadline=None)
@given(means, scatters, counts)
def test_both_sides_are_all(mean: float, scatter: float, count: int) -> None:
    """What is below and what is above add up to one, each is a chance, and the further out, the smaller."""
    known = Expected(mean, scatter)
    assert math.isclose(known.below(count) + known.above(count + 1), 1, abs_tol=1e-6)
    assert 0 <= known.above(count + 1) <= known.above(count) + 1e-9 <= 1 + 1e-6
    assert 0 <= known.below(count) <= known.below(count + 1) + 1e-9 <= 1 + 1e-6


@pytest.mark.parametrize(("mean", "scatter"), [(0.1, 0), (0.1, 1), (3, 0.5), (20, 0), (20, 0.2), (8, 1)])
def test_mean_and_variance_are_as_said(mean: float, scatter: float) -> None:
    """The sum of all tails is the mean, the weighted sum gives variance = mean + scatter · mean²."""
    known = Expected(mean, scatter)
    tails = [known.above(count) for count in range(1, 400)]
    second = sum((2 * count + 1) * tail for count, tail in enumerate(tails))
    assert math.isclose(sum(tails), mean, rel_tol=0.001)
    assert math.isclose(second - mean**2, mean + scatter * mean**2, rel_tol=0.001)


@given(st.lists(st.integers(0, 200), min_size=8, max_size=8), st.integers(0, 7), st.integers(200, 10**9))
def test_one_freak_week_moves_little(past: list[int], which: int, freak: int) -> None:
    """However large one value of eight becomes, the midmean stays within the others."""
    past[which] = freak
    others = sorted(past[:which] + past[which + 1 :])
    assert others[0] <= baseline.midmean(past) <= others[-1]


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=8), scatters)
def test_what_always_was_is_no_surprise(past: list[int], scatter: float) -> None:
    """What is expected lies within the past, half an event more at most, and its middle is no finding."""
    known = baseline.expected(past, scatter)
    assert known
    assert min(past) <= known.mean <= max(past) + 0.5 / len(past) + 1e-6
    assert known.surprise(round(known.mean)) > RARE


@pytest.mark.parametrize("past", [[], [5], [5, 5, 5]])
def test_too_little_is_not_judged(past: list[float]) -> None:
    """Three weeks tell of nothing that is usual."""
    assert baseline.expected(past, 0) is None


def test_nights_and_floods() -> None:
    """An order at night is nothing, five of them are; nothing at noon where sixty are usual is, forty are not."""
    night, noon = baseline.expected([0] * 8, 0.1), baseline.expected([60] * 8, 0.05)
    assert night
    assert noon
    assert night.surprise(1) > RARE > night.surprise(5)
    assert noon.surprise(40) > RARE > noon.surprise(0)


@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.05, 0.3]))
@settings(max_examples=10, deadline=None)
def test_scatter_is_found_again(seed: int, truth: float) -> None:
    """Of counts that vary by so much beyond chance, the estimate is near, some freaks among them or not."""
    chance = random.Random(seed)
    spells = [(float(drawn(chance, 40, truth)), 40.0) for _ in range(1500)]
    assert baseline.scatter(spells) == pytest.approx(truth, abs=0.02 + 0.3 * truth)
    assert baseline.scatter(spells + [(4000.0, 40.0)] * 30) == pytest.approx(truth, abs=0.03 + 0.35 * truth)


@pytest.mark.parametrize("truth", [0.0, 0.1])
@pytest.mark.parametrize("mean", [0.2, 3, 40])
def test_false_alarms_are_as_rare_as_said(mean: float, truth: float) -> None:
    """Where nothing is unusual, 40,000 hours have about as many findings as promised: four by 2 · RARE, and never fifteen."""
    chance = random.Random(5)
    false = 0
    for _ in range(40_000):
        known = baseline.expected([drawn(chance, mean, truth) for _ in range(8)], truth)
        assert known
        false += known.surprise(drawn(chance, mean, truth)) < RARE
    assert false < 15


def drawn(chance: random.Random, mean: float, scatter: float) -> int:
    """A count, Poisson of a gamma mean."""
    rate = chance.gammavariate(1 / scatter, scatter * mean) if scatter else mean
    limit, product, count = math.exp(-rate), chance.random(), 0
    while product > limit and count < 10_000:
        product *= chance.random()
        count += 1
    return count
