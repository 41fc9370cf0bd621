import numpy as np
import pytest
from scipy import stats

from sidecar.stats.tally import Counted, chance, greatest_distance
from tests.detectors.rig import bins_from, tally

RNG = np.random.default_rng(2)


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


def test_what_is_counted_adds_up() -> None:
    one = Counted(np.array([[1, 2]]), np.array([[0.5, 1.0]]))

    both = one.plus(Counted(np.array([[3, 0]]), np.array([[-2.0, np.inf]])))

    assert both.counts.tolist() == [[4, 2]]
    assert both.sums.tolist() == [[-1.5, np.inf]]


def test_the_mean_is_the_numbers() -> None:
    values = RNG.normal(5, 2, (300, 2))
    found = bins_from(values)

    told = found.tally(found.count(values[:100], {}))

    np.testing.assert_allclose(told.mean, values[:100].mean(axis=0))
    np.testing.assert_array_equal(found.tally(found.count(np.empty((0, 2)), {})).mean, [np.nan, np.nan])


@pytest.mark.parametrize("value", [0.0, 7.0, 0.1, -1e15])
def test_a_constant_has_no_unit(value: float) -> None:
    assert np.isnan(bins_from(np.full((50, 1), value)).reference_tally.unit).all()


def test_a_deviation_that_drowns_in_rounding_is_no_unit() -> None:
    values = np.full((50, 2), 1e9)
    values[::2] += [1e-6, 1.0]

    assert np.isnan(bins_from(values).reference_tally.unit).tolist() == [True, False]
