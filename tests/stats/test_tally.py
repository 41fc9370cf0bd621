import numpy as np
import pytest
from scipy import stats

from sidecar.stats.tally import Tally, chance, greatest_distance

RNG = np.random.default_rng(2)


def tally(*counts: list[int], ordered: bool = True) -> Tally:
    k = len(counts)
    return Tally(np.array(counts), np.zeros(k, dtype=np.int64), np.full(k, ordered))


def test_the_distance_of_numbers_is_scipy_s_on_the_same_bins() -> None:
    past, now = RNG.integers(0, 9, 700), RNG.integers(1, 10, 300)

    distance = greatest_distance(
        tally(np.bincount(past, minlength=10).tolist()), tally(np.bincount(now, minlength=10).tolist())
    )

    np.testing.assert_allclose(distance, [stats.ks_2samp(past, now).statistic])


def test_the_distance_of_categories_is_the_greatest_difference_of_shares() -> None:
    distance = greatest_distance(tally([5, 3, 2], ordered=False), tally([2, 2, 6], ordered=False))

    np.testing.assert_allclose(distance, [0.4])


@pytest.mark.parametrize(("past", "now"), [([0, 0], [1, 2]), ([1, 2], [0, 0]), ([0, 0], [0, 0])])
def test_nothing_cannot_be_compared(past: list[int], now: list[int]) -> None:
    assert np.isnan(greatest_distance(tally(past), tally(now))).all()


def test_chance_is_what_the_formula_says() -> None:
    np.testing.assert_allclose(chance(np.array([100]), np.array([400])), [np.sqrt(500 / 40000)])
