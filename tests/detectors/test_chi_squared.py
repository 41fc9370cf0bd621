import numpy as np
import pytest
from scipy import stats

from sidecar.detectors.chi_squared import ChiSquared
from tests.detectors.rig import tally

RNG = np.random.default_rng(8)


@pytest.mark.parametrize(
    ("past", "now"), [([50, 60, 70], [30, 20, 10]), ([500, 500], [40, 60]), ([30, 90, 20, 0], [20, 20, 20, 30])]
)
def test_the_test_is_scipy_s(past: list[int], now: list[int]) -> None:
    expected = stats.chi2_contingency([past, now], correction=False)

    found = ChiSquared().check(tally(past, ordered=False), tally(now, ordered=False))

    np.testing.assert_allclose(found.statistic, [expected.statistic])
    np.testing.assert_allclose(found.p_value, [expected.pvalue], rtol=1e-9)


def test_small_bins_are_put_together() -> None:
    """Of five bins three expect less than five rows: the two smallest go together, and again, until a third is left."""
    found = ChiSquared().check(tally([100, 80, 3, 2, 1], ordered=False), tally([90, 70, 1, 2, 3], ordered=False))
    expected = stats.chi2_contingency([[100, 80, 6], [90, 70, 6]], correction=False)

    np.testing.assert_allclose(found.statistic, [expected.statistic])


@pytest.mark.parametrize(
    ("past", "now", "ordered"),
    [([5, 5], [5, 5], False), ([0, 0], [5, 5], False), ([9, 0], [9, 0], False), ([50, 50], [50, 50], True)],
)
def test_too_little_or_numbers_have_no_verdict(past: list[int], now: list[int], ordered: bool) -> None:
    found = ChiSquared().check(tally(past, ordered=ordered), tally(now, ordered=ordered))

    assert np.isnan(found.p_value).all()
    assert not found.drifted.any()


def test_without_drift_small_p_values_are_as_rare_as_they_ought_to_be() -> None:
    shares = [0.5, 0.3, 0.15, 0.05]
    past, now = (RNG.multinomial(size, shares, 4000) for size in (2000, 400))

    found = ChiSquared().check(tally(*past.tolist(), ordered=False), tally(*now.tolist(), ordered=False))

    assert (found.p_value < 0.05).mean() == pytest.approx(0.05, abs=0.012)
    assert not found.drifted.any()
