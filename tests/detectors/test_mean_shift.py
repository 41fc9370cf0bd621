import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sidecar.detectors.mean_shift import MeanShift
from sidecar.records import Comparison
from sidecar.stats.moments import Floats
from tests.detectors.rig import bins_from

RNG = np.random.default_rng(23)
NAN = np.nan


def check(past: Floats, now: Floats, alpha: float = 0.001) -> Comparison:
    """Of features side by side."""
    bins = bins_from(past)
    return MeanShift(alpha=alpha).check(bins.reference_tally, bins.tally(bins.count(now, {})))


samples = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=40).map(np.array)


@given(samples.filter(lambda rows: rows.std() > 1e-3), samples)
def test_shift_and_p_value_are_those_of_the_formula(past: Floats, now: Floats) -> None:
    shift = (now.mean() - past.mean()) / past.std()
    z = shift / np.sqrt(1 / len(past) + 1 / len(now))

    found = check(past[:, None], now[:, None])

    np.testing.assert_allclose(found.statistic, [shift], atol=1e-9)
    np.testing.assert_allclose(found.p_value, [2 * stats.norm.sf(abs(z))], rtol=1e-5, atol=1e-300)


def test_with_equal_deviations_it_is_scipy_s_test() -> None:
    past = RNG.normal(3, 2, 1500)
    now = past[::3] + 0.2
    now = (now - now.mean()) * past.std() / now.std() + now.mean()

    expected = stats.ttest_ind(now, past)

    np.testing.assert_allclose(check(past[:, None], now[:, None]).p_value, [expected.pvalue], rtol=0.02)


def test_the_shifted_features_are_named_with_their_direction() -> None:
    past = RNG.normal(size=(1500, 20))
    found = check(past, RNG.normal(size=(1000, 20)) + np.r_[0.3, -0.3, np.zeros(18)])

    assert np.flatnonzero(found.drifted).tolist() == [0, 1]
    assert np.sign(found.statistic[:2]).tolist() == [1, -1]


def test_without_drift_small_p_values_are_as_rare_as_they_ought_to_be() -> None:
    bins, alarms, p_values = bins_from(RNG.normal(size=(1400, 40))), 0, []
    for _ in range(60):
        found = MeanShift(alpha=0.05).check(bins.reference_tally, bins.tally(bins.count(RNG.normal(size=(60, 40)), {})))
        alarms += bool(found.drifted.any())
        p_values.append(found.p_value)

    assert (np.array(p_values) < 0.05).mean() == pytest.approx(0.05, abs=0.015)
    assert alarms <= 8  # of 60 looks, at a rate of 5 %


@pytest.mark.parametrize(
    ("past", "now"), [([5.0, 5.0], [6.0]), ([1.0, 2.0], [NAN]), ([1.0, 2.0], []), ([np.inf, np.inf], [1.0])]
)
def test_what_cannot_be_measured_has_no_verdict(past: list[float], now: list[float]) -> None:
    found = check(np.array(past)[:, None], np.array(now)[:, None])

    assert np.isnan(found.statistic).all()
    assert np.isnan(found.p_value).all()
    assert not found.drifted.any()


def test_infinities_do_not_move_the_mean_beyond_the_edges() -> None:
    past = RNG.normal(size=(1000, 1))
    now = np.append(past[::2], [[np.inf], [-np.inf]], axis=0)

    (shift,) = check(past, now).statistic

    assert abs(shift) < 0.1


def test_categories_have_no_verdict() -> None:
    bins = bins_from(np.full((4, 1), NAN), {0: ["a", "a", "b", "b"]})

    found = MeanShift().check(bins.reference_tally, bins.reference_tally)

    assert np.isnan(found.statistic).all()
    assert not found.drifted.any()
