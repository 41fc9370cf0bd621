import numpy as np
from scipy import stats

from sidecar.detectors.kolmogorov_smirnov import KolmogorovSmirnov
from sidecar.stats.tally import Tally

RNG = np.random.default_rng(6)


def tally(counts: np.ndarray, *, ordered: bool = True) -> Tally:
    return Tally(np.atleast_2d(counts), np.zeros(1, dtype=np.int64), np.array([ordered]))


def test_the_p_value_is_scipy_s_on_the_same_bins() -> None:
    for shift in range(3):
        past, now = RNG.integers(0, 12, 900), RNG.integers(0, 12, 400) + (RNG.random(400) < 0.1 * shift)
        expected = stats.ks_2samp(past, now, method="asymp")

        found = KolmogorovSmirnov().check(tally(np.bincount(past, minlength=14)), tally(np.bincount(now, minlength=14)))

        np.testing.assert_allclose(found.statistic, [expected.statistic])
        # scipy takes the distribution for finite n = 276 where we take its limit.
        np.testing.assert_allclose(found.p_value, [expected.pvalue], rtol=0.1, atol=1e-3)


def test_without_drift_it_alarms_no_more_often_than_alpha() -> None:
    k, bins = 20_000, 10
    past, now = (RNG.multinomial(size, np.full(bins, 1 / bins), k) for size in (2000, 500))
    nothing, numbers = np.zeros(k, dtype=np.int64), np.ones(k, dtype=np.bool_)

    drifted = KolmogorovSmirnov(alpha=0.01).check(Tally(past, nothing, numbers), Tally(now, nothing, numbers)).drifted

    assert 0.001 < drifted.mean() <= 0.01


def test_categories_and_nothing_have_no_verdict() -> None:
    some, none = np.array([3, 4]), np.array([0, 0])
    for found in (
        KolmogorovSmirnov().check(tally(some, ordered=False), tally(some, ordered=False)),
        KolmogorovSmirnov().check(tally(some), tally(none)),
    ):
        assert np.isnan(found.statistic).all()
        assert np.isnan(found.p_value).all()
        assert not found.drifted.any()
