import numpy as np
import pytest
from scipy.spatial import distance as oracle

from sidecar.detectors.divergence import FLOOR, JensenShannon, PopulationStability
from tests.detectors.rig import tally

RNG = np.random.default_rng(4)


def test_psi_by_hand() -> None:
    """(0.3 - 0.5) ln(0.3 / 0.5) + (0.7 - 0.5) ln(0.7 / 0.5) = 0.16946."""
    comparison = PopulationStability().check(tally([50, 50]), tally([30, 70]))

    np.testing.assert_allclose(comparison.statistic, [0.2 * np.log(7 / 3)])
    np.testing.assert_allclose(comparison.statistic, [0.16946], atol=1e-5)
    assert comparison.drifted.tolist() == [False]


def test_an_empty_bin_is_floored() -> None:
    statistic = PopulationStability().check(tally([50, 50, 0]), tally([50, 0, 50])).statistic

    np.testing.assert_allclose(statistic, [2 * (0.5 - FLOOR) * np.log(0.5 / FLOOR)])


@pytest.mark.parametrize("zeros", [0, 3])
def test_the_jensen_shannon_distance_is_scipy_s(zeros: int) -> None:
    past, now = RNG.integers(1, 50, (2, 6, 8))
    past[:, :zeros] = 0

    comparison = JensenShannon().check(tally(*past.tolist()), tally(*now.tolist()))

    np.testing.assert_allclose(comparison.statistic, oracle.jensenshannon(past, now, base=2, axis=1))


def test_nothing_in_common_is_1() -> None:
    comparison = JensenShannon(threshold=0.99).check(tally([7, 0]), tally([0, 9]))

    np.testing.assert_allclose(comparison.statistic, [1.0])
    assert comparison.drifted.tolist() == [True]


@pytest.mark.parametrize("detector", [PopulationStability(), JensenShannon()])
def test_equal_shares_have_no_distance(detector: PopulationStability | JensenShannon) -> None:
    np.testing.assert_allclose(detector.check(tally([10, 20, 0]), tally([20, 40, 0])).statistic, [0.0], atol=1e-7)


def test_psi_without_drift_is_what_its_docstring_says() -> None:
    n, m, bins = 500, 5000, 10
    past, now = (RNG.multinomial(size, np.full(bins, 1 / bins), 4000) for size in (m, n))

    statistic = PopulationStability().check(tally(*past.tolist()), tally(*now.tolist())).statistic

    np.testing.assert_allclose(statistic.mean(), (bins - 1) * (1 / n + 1 / m), rtol=0.05)
