import numpy as np
from scipy import stats

from sidecar.detectors.kolmogorov_smirnov import KolmogorovSmirnov
from tests.detectors.rig import tally

RNG = np.random.default_rng(6)


def test_the_p_value_is_scipy_s_on_the_same_bins() -> None:
    for shift in range(3):
        past, now = RNG.integers(0, 12, 900), RNG.integers(0, 12, 400) + (RNG.random(400) < 0.1 * shift)
        expected = stats.ks_2samp(past, now, method="asymp")

        counts = [np.bincount(rows, minlength=14).tolist() for rows in (past, now)]
        found = KolmogorovSmirnov().check(*map(tally, counts))

        np.testing.assert_allclose(found.statistic, [expected.statistic])
        # scipy takes the distribution for finite n = 276 where we take its limit.
        np.testing.assert_allclose(found.p_value, [expected.pvalue], rtol=0.1, atol=1e-3)


def test_without_drift_small_p_values_are_no_more_frequent_than_they_ought_to_be() -> None:
    k, bins = 20_000, 10
    past, now = (RNG.multinomial(size, np.full(bins, 1 / bins), k) for size in (2000, 500))

    found = KolmogorovSmirnov().check(tally(*past.tolist()), tally(*now.tolist()))

    assert 0.001 < (found.p_value < 0.01).mean() <= 0.01
    assert not found.drifted.any()


def test_categories_and_nothing_have_no_verdict() -> None:
    some, none = [3, 4], [0, 0]
    for found in (
        KolmogorovSmirnov().check(tally(some, ordered=False), tally(some, ordered=False)),
        KolmogorovSmirnov().check(tally(some), tally(none)),
    ):
        assert np.isnan(found.statistic).all()
        assert np.isnan(found.p_value).all()
        assert not found.drifted.any()
