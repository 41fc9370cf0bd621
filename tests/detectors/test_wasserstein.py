import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sidecar.detectors.wasserstein import Wasserstein
from sidecar.records import Comparison
from sidecar.stats.moments import Floats
from tests.detectors.rig import bins_from

RNG = np.random.default_rng(17)
NAN = np.nan

numbers = st.floats(-1e3, 1e3) | st.sampled_from([0.0, 1.0, 2.0])
samples = st.lists(numbers, min_size=2, max_size=60).map(np.array)


def check(past: Floats, now: Floats) -> Comparison:
    """Of one feature."""
    bins = bins_from(past[:, None])
    return Wasserstein().check(bins.reference_tally, bins.tally(bins.count(now[:, None], {})))


@given(samples.filter(lambda rows: rows.std() > 1e-3), samples)
def test_it_lies_between_the_shift_of_the_mean_and_scipy_s_distance(past: Floats, now: Floats) -> None:
    (told,) = check(past, now).statistic * past.std()

    assert told <= stats.wasserstein_distance(past, now) + 1e-7
    assert told >= abs(past.mean() - now.mean()) - 1e-7


@pytest.mark.parametrize("shift", [-3.0, -0.4, 0.1, 1.0, 50.0])
@pytest.mark.parametrize("draw", [RNG.normal, RNG.exponential, RNG.uniform])
def test_of_shifted_rows_it_is_scipy_s(shift: float, draw: object) -> None:
    assert callable(draw)
    past = draw(size=800)

    np.testing.assert_allclose(check(past, past + shift).statistic, [abs(shift) / past.std()], rtol=1e-9)


def test_of_a_changed_scale_or_shape_it_is_nearly_scipy_s() -> None:
    past = RNG.normal(size=1500)
    for now in (1.5 * past, RNG.exponential(size=700) - 1, RNG.standard_t(4, 700), np.where(past > 1, 9.0, past)):
        expected = stats.wasserstein_distance(past, now) / past.std()

        (told,) = check(past, now).statistic

        assert 0.9 * expected <= told <= expected + 1e-12


def test_above_the_threshold_is_drift() -> None:
    past = RNG.normal(size=(1000, 2))
    bins = bins_from(past)

    found = Wasserstein(threshold=0.2).check(
        bins.reference_tally, bins.tally(bins.count(past + np.array([0.1, 0.3]), {}))
    )

    assert found.drifted.tolist() == [False, True]
    assert np.isnan(found.p_value).all()


def test_without_drift_it_is_what_its_docstring_says() -> None:
    m, n, k = 1400, 500, 400
    bins = bins_from(RNG.normal(size=(m, k)))

    statistic = Wasserstein().check(
        bins.reference_tally, bins.tally(bins.count(RNG.normal(size=(n, k)), {}))
    ).statistic / np.sqrt(1 / n + 1 / m)

    assert statistic.mean() == pytest.approx(1.1, abs=0.1)
    assert np.quantile(statistic, 0.99) == pytest.approx(2.6, abs=0.4)


@pytest.mark.parametrize(
    ("past", "now"),
    [
        ([5.0, 5.0, 5.0], [6.0]),
        ([1.0, 2.0], [NAN, NAN]),
        ([1.0, 2.0], []),
        ([np.inf, -np.inf], [1.0]),
        ([1e308, -1e308, 1e308], [1e308, 1e308, -1e308, -1e308]),
    ],
)
def test_what_cannot_be_measured_has_no_verdict(past: list[float], now: list[float]) -> None:
    found = check(np.array(past), np.array(now))

    assert np.isnan(found.statistic).all()
    assert not found.drifted.any()


@pytest.mark.parametrize(
    ("past", "now"),
    [([1.0, 2.0], [1.0]), ([0.0, 1.0, 1.0], [0.5, NAN]), ([1.0, 1.0, 1.0, 2.0], [2.0, 2.0]), ([1.0, 1.0, 2.0], [9.0])],
)
def test_few_and_tied_rows_are_measured(past: list[float], now: list[float]) -> None:
    known = np.array(now)[~np.isnan(now)]
    (told,) = check(np.array(past), np.array(now)).statistic * np.std(past)

    assert told <= stats.wasserstein_distance(past, known) + 1e-9
    assert told >= abs(np.mean(past) - np.mean(known)) - 1e-9


def test_the_same_infinities_in_both_windows_are_no_distance() -> None:
    past = np.append(RNG.normal(100, 1, 900), [np.inf] * 100)

    (told,) = check(past, past[::2]).statistic

    assert told < 0.15


def test_categories_have_no_verdict() -> None:
    bins = bins_from(np.full((4, 1), NAN), {0: ["a", "a", "b", "b"]})

    found = Wasserstein().check(bins.reference_tally, bins.tally(bins.count(np.full((2, 1), NAN), {0: ["a", "c"]})))

    assert np.isnan(found.statistic).all()
