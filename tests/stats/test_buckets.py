import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sidecar.stats.buckets import Exponential
from sidecar.stats.histogram import Histogram
from sidecar.stats.moments import Floats, Moments

RNG = np.random.default_rng(13)
RATIOS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


def exponential_of(values: Floats) -> Exponential:
    histogram, moments = Histogram(values.shape[1]), Moments(values.shape[1])
    histogram.update(values)
    moments.update(values)
    return histogram.exponential(moments)


def check_quantiles(values: Floats) -> None:
    exponential = exponential_of(values)
    factor = 2.0**2.0 ** -exponential.scale[:, None] * (1 + 1e-12)
    exact = np.quantile(values, RATIOS, axis=0, method="inverted_cdf").T

    quantiles = exponential.quantiles(RATIOS)

    assert (np.sign(quantiles) == np.sign(exact)).all()
    assert (np.abs(quantiles) / factor <= np.abs(exact)).all()
    assert (np.abs(exact) / factor <= np.abs(quantiles)).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()


@pytest.mark.parametrize(
    "values",
    [
        RNG.normal(size=(1000, 3)),
        RNG.lognormal(sigma=4, size=(1000, 3)),
        RNG.integers(-3, 4, size=(1000, 3)).astype(float),
        -RNG.exponential(size=(17, 3)),
        1e9 + RNG.normal(size=(1000, 3)),
        RNG.normal(size=(1, 3)),
    ],
    ids=["normal", "lognormal", "integers", "negative", "far", "one row"],
)
def test_quantiles_keep_the_stated_bound_against_numpy(values: Floats) -> None:
    check_quantiles(values)


@given(
    arrays(
        np.float64,
        st.tuples(st.integers(1, 20), st.just(2)),
        elements=st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False),
    )
)
def test_quantiles_keep_the_stated_bound_for_any_numbers(values: Floats) -> None:
    check_quantiles(values)


def test_the_stated_bounds_are_those_of_the_scale() -> None:
    ten_octaves, one_octave = exponential_of(np.array([[1.001, 1.001], [1024.0, 2.0]])).scale.tolist()

    assert 2**2.0**-ten_octaves == pytest.approx(1.044, abs=5e-4)
    assert 2**2.0**-one_octave == pytest.approx(1.0054, abs=5e-5)


def test_ranks_in_one_bucket_spread_evenly_in_the_logarithm() -> None:
    # A hundred octaves need scale 0, where one bucket is (1, 2].
    quantiles = exponential_of(np.array([[2.0**-100], [1.5], [1.5], [8.0]])).quantiles((0.5, 0.75))

    np.testing.assert_allclose(quantiles, [[2**0.25, 2**0.75]])


def test_a_feature_of_one_value_has_it_for_every_quantile() -> None:
    quantiles = exponential_of(np.array([[0.1, -7.0, 0.0]] * 5)).quantiles(RATIOS)

    assert quantiles.tolist() == [[0.1] * 9, [-7.0] * 9, [0.0] * 9]


def test_quantiles_and_edges_without_numbers_are_nan_not_zero() -> None:
    exponential = exponential_of(np.array([[np.nan, np.inf]]))

    edges, counts = exponential.density(4)

    assert np.isnan(exponential.quantiles(RATIOS)).all()
    assert np.isnan(edges).all()
    assert counts.tolist() == [[0] * 4] * 2


def test_density_of_a_smooth_feature_is_that_of_numpy_within_a_few_percent() -> None:
    values = np.column_stack((RNG.normal(size=20_000), RNG.exponential(size=20_000), RNG.uniform(size=20_000)))

    edges, counts = exponential_of(values).density(10)

    for feature in range(3):
        expected, at = np.histogram(values[:, feature], bins=10)
        np.testing.assert_allclose(edges[feature], at, atol=1e-12)
        np.testing.assert_allclose(counts[feature], expected, atol=0.005 * 20_000)


@pytest.mark.parametrize(
    ("column", "edges", "counts"),
    [
        ([0.0, 0.0, 0.0, 1.0], [0.0, 0.5, 1.0], [3, 1]),
        ([-1.0, 0.0, 0.0, 1.0], [-1.0, 0.0, 1.0], [1, 3]),
        ([-4.0, -4.0, -1.0], [-4.0, -2.5, -1.0], [2, 1]),
        ([3.0, 3.0], [2.5, 3.0, 3.5], [0, 2]),
        ([-1.7e308, 1.7e308], [-1.7e308, 0.0, 1.7e308], [1, 1]),
        ([1e300, 1e300], [1e300, 1e300, 1e300], [0, 2]),
    ],
)
def test_density_by_hand(column: list[float], edges: list[float], counts: list[int]) -> None:
    at, in_bins = exponential_of(np.array(column)[:, None]).density(2)

    assert at[0].tolist() == edges
    assert in_bins[0].tolist() == counts


@given(arrays(np.float64, st.tuples(st.integers(0, 20), st.just(2)), elements=st.floats(width=64)))
def test_density_counts_every_number_and_none_twice(values: Floats) -> None:
    exponential = exponential_of(values)

    _, counts = exponential.density(7)

    assert (counts >= 0).all()
    assert counts.sum(axis=1).tolist() == np.isfinite(values).sum(axis=0).tolist()


def test_below_counts_what_is_strictly_less() -> None:
    exponential = exponential_of(np.array([[-2.0], [0.0], [0.0], [4.0]]))

    below = exponential.below(np.array([[-3.0, -2.0, -1.0, 0.0, 1.0, 4.0, 5.0]]))

    assert below[0, [0, 2, 3, 4, 6]].tolist() == [0, 1, 1, 3, 4]
