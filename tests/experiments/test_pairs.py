import math

import numpy as np
import pytest

from sidecar.experiments.pairs import SCALES, SHARES, compared, reach
from sidecar.experiments.totals import BUCKETS, Totals
from sidecar.stats.moments import Counts, Flags, Floats
from tests.bench.arms import Running


def totals(*epochs: tuple[list[int], list[float]], most: float = math.nan) -> Totals:
    out = Totals(most=most)
    for index, (units, values) in enumerate(epochs):
        if index:
            out.begin()
        out.take(np.array(units, dtype=np.uint64), np.array(values))
    return out


@pytest.mark.parametrize("wrong", [0.5, 0.05, 0.01, 1e-6])
@pytest.mark.parametrize("weight", [0.5, 100.0, 1e4, 1e9])
def test_the_mixture_reaches_one_over_wrong_at_z(weight: float, wrong: float) -> None:
    square = float(reach(np.asarray(weight), wrong))

    mixture = SHARES * np.sqrt(SCALES / (weight + SCALES)) * np.exp(square / 2 * weight / (weight + SCALES))

    assert math.log(mixture.sum()) == pytest.approx(-math.log(wrong), abs=1e-9)


def test_a_brownian_path_leaves_the_boundary_as_seldom_as_is_said() -> None:
    rng, times = np.random.default_rng(3), np.geomspace(1, 1e6, 1000)
    steps = rng.standard_normal((1000, len(times))) * np.sqrt(np.diff(times, prepend=0))

    left = (steps.cumsum(axis=1) ** 2 > reach(times, 0.1) * times).any(axis=1)

    assert 0.03 < left.mean() < 0.1


def test_means_and_their_variance_are_those_of_a_hand_s_breadth_of_rows() -> None:
    champion = totals(([0, 1, 2, 2], [1.0, 2.0, 3.0, 6.0]))
    challenger = totals(([5, 6], [4.0, 8.0]))

    pair = compared(champion, challenger)

    assert pair is not None
    assert float(pair.difference(1.0)) == 3.0
    assert float(pair.difference(2.0)) == 0.0
    assert float(pair.weight) == pytest.approx(4 / 3)
    # Residuals of the buckets' sums: -2, -1, 3; shares of the rows 1/4, 1/4, 1/2.
    buckets = 1 / (1 / 16 + 1 / 16 + 1 / 4)
    assert float(pair.champion.variance) == pytest.approx(14 / 16 * buckets / (buckets - 1))
    assert float(pair.challenger.variance) == pytest.approx((4 + 4) / 4 * 2)


def test_rows_of_one_user_count_as_one() -> None:
    rng = np.random.default_rng(4)
    effects, units = rng.standard_normal(400), np.arange(400)
    many = totals((np.repeat(units, 25).tolist(), np.repeat(effects, 25).tolist()))
    once = totals((units.tolist(), effects.tolist()))

    pairs = [compared(each, each) for each in (many, once)]

    variances = [float(pair.champion.variance) for pair in pairs if pair]
    assert variances[0] == pytest.approx(variances[1])
    assert variances[1] == pytest.approx(effects.var() / 399)


def test_epochs_are_weighted_by_their_counts_alone() -> None:
    # The challenger is lower by 1 and by 3; pooled, it would seem to be higher.
    champion = totals((list(range(90)), [1.0] * 90), (list(range(10)), [11.0] * 10))
    challenger = totals((list(range(10)), [0.0] * 10), (list(range(90)), [8.0] * 90))

    pair = compared(champion, challenger)

    assert pair is not None
    assert float(pair.difference(1.0)) == pytest.approx(-2.0)
    assert float(pair.weight) == pytest.approx(18.0)
    assert challenger.mean > champion.mean


def test_a_small_variant_that_never_varied_is_as_uncertain_as_the_other_s_rows_make_it() -> None:
    champion = totals((list(range(400)), [0.0, 0.0, 0.0, 1.0] * 100))
    challenger = totals((list(range(40)), [0.0] * 40))

    pair = compared(champion, challenger)

    assert pair is not None
    row = float(pair.champion.variance) * 400 * 400 / 440
    expected = float(pair.square(0.05)) * row * (1 / 400 + 1 / 40)
    assert float(pair.radius(1.0, 0.05)) ** 2 == pytest.approx(expected)


@pytest.mark.parametrize(
    "epochs", [([], []), ([1], [1.0]), ([1, 1], [1.0, 2.0]), ([1, 1, 1, 2, 3], [1.0] * 5), ([7, 7 + BUCKETS], [1.0, 2])]
)
def test_where_one_bucket_has_most_rows_there_is_nothing_to_compare(epochs: tuple[list[int], list[float]]) -> None:
    other = totals(([1, 2], [1.0, 2.0]))

    assert compared(totals(epochs), other) is None
    assert compared(other, totals(epochs)) is None


def test_variants_of_different_epochs_are_refused() -> None:
    begun = Totals()
    begun.begin()

    with pytest.raises(ValueError, match="epochs 0 and 1"):
        compared(Totals(), begun)


def rows(rng: np.random.Generator, number: int) -> tuple[Flags, Counts, Floats]:
    return rng.random(number) < 0.4, rng.integers(0, BUCKETS, number), rng.gamma(2, size=number)


def test_the_simulation_adds_up_what_totals_do() -> None:
    both = [rows(np.random.default_rng(seed), 600) for seed in (1, 2)]
    arms, buckets, values = (np.stack(each) for each in zip(*both, strict=True))
    running = Running(2)

    for index in range(600):
        running.take(arms[:, index], buckets[:, index], values[:, index])
    told = running.pair()

    for index in (0, 1):
        pair = compared(
            *(totals((buckets[index, arms[index] == arm], values[index, arms[index] == arm])) for arm in (0, 1))
        )
        assert pair is not None
        assert float(pair.difference(1.3)) == pytest.approx(told.difference(1.3)[index])
        assert float(pair.radius(1.3, 0.05)) == pytest.approx(told.radius(1.3, 0.05)[index])
