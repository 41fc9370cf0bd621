import numpy as np
import pytest
from scipy import stats

from sidecar.detectors.chi_squared import ChiSquared
from sidecar.stats.tally import Tally

RNG = np.random.default_rng(8)


def tally(*counts: list[int], ordered: bool = False) -> Tally:
    k = len(counts)
    return Tally(np.array(counts), np.zeros(k, dtype=np.int64), np.full(k, ordered))


@pytest.mark.parametrize(
    ("past", "now"), [([50, 60, 70], [30, 20, 10]), ([500, 500], [40, 60]), ([30, 90, 20, 0], [20, 20, 20, 30])]
)
def test_the_test_is_scipy_s(past: list[int], now: list[int]) -> None:
    expected = stats.chi2_contingency([past, now], correction=False)

    found = ChiSquared().check(tally(past), tally(now))

    np.testing.assert_allclose(found.statistic, [expected.statistic])
    np.testing.assert_allclose(found.p_value, [expected.pvalue], rtol=1e-9)


def test_small_bins_are_put_together() -> None:
    """Of five bins three expect less than five rows: the two smallest go together, and again, until a third is left."""
    found = ChiSquared().check(tally([100, 80, 3, 2, 1]), tally([90, 70, 1, 2, 3]))
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


def test_without_drift_it_alarms_as_often_as_alpha() -> None:
    shares = [0.5, 0.3, 0.15, 0.05]
    past, now = (RNG.multinomial(size, shares, 4000) for size in (2000, 400))

    found = ChiSquared(alpha=0.05).check(tally(*past.tolist()), tally(*now.tolist()))

    assert found.drifted.mean() == pytest.approx(0.05, abs=0.012)
