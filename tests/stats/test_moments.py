from statistics import mean as exact_mean
from statistics import pstdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sidecar.stats.moments import Floats, Moments

RNG = np.random.default_rng(7)
LEAST = 1e-322

COLUMNS = {
    "standard": RNG.normal(size=500),
    "far from zero": 1e9 + RNG.normal(scale=1e-3, size=500),
    "squares overflow": 1e300 * RNG.normal(size=500),
    "squares vanish": 1e-200 * RNG.normal(size=500),
    "distances overflow": np.array([1.7e308, -1.7e308] * 250),
    "sums overflow": np.full(500, 1.7e308),
    "subnormal": np.array([5e-324, 1e-320] * 250),
    "many scales": 10.0 ** RNG.uniform(-300, 300, size=500),
    "one outlier": np.append(np.zeros(499), 1e12),
    "integers": RNG.integers(-5, 5, size=500).astype(float),
}


def moments_of(*batches: Floats) -> Moments:
    moments = Moments(batches[0].shape[1])
    for batch in batches:
        moments.update(batch)
    return moments


@pytest.mark.parametrize("pieces", [1, 2, 7, 500])
@pytest.mark.parametrize("name", COLUMNS)
def test_mean_and_deviation_are_those_of_exact_arithmetic(name: str, pieces: int) -> None:
    column = COLUMNS[name]
    mean = exact_mean(column.tolist())
    std = pstdev(column.tolist())

    moments = moments_of(*np.array_split(column[:, None], pieces))

    assert moments.mean[0] == pytest.approx(mean, rel=1e-13, abs=1e-15 * np.abs(column).max() + LEAST)
    assert moments.std[0] == pytest.approx(std, rel=1e-9, abs=1e-16 * np.abs(column).max() + LEAST)


def test_all_features_at_once_equal_numpy_feature_by_feature() -> None:
    values = RNG.normal(size=(300, 6)) * 10.0 ** np.arange(6)

    moments = moments_of(values[:100], values[100:101], values[101:])

    np.testing.assert_allclose(moments.mean, values.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.std, values.std(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(moments.minimum, values.min(axis=0))
    np.testing.assert_array_equal(moments.maximum, values.max(axis=0))


def test_every_cell_is_counted_under_its_kind() -> None:
    nan, inf = np.nan, np.inf
    values = np.array([[0.0, nan], [-0.0, nan], [-2.0, inf], [1.5, nan], [nan, nan], [inf, nan], [-inf, -inf]])

    moments = moments_of(values)

    assert moments.rows == 7
    assert moments.count.tolist() == [4, 0]
    assert moments.infinite.tolist() == [2, 2]
    assert moments.zeros.tolist() == [2, 0]
    assert moments.negatives.tolist() == [1, 0]
    assert moments.integral.tolist() == [3, 0]
    assert moments.mean.tolist() == [-0.125, 0.0]
    assert (moments.minimum[0], moments.maximum[0]) == (-2.0, 1.5)
    assert moments.minimum[1] > moments.maximum[1]


@pytest.mark.parametrize("constant", [0.1, -1e9 / 3, 1.7e308, 5e-324, 0.0])
def test_a_constant_is_its_own_mean_and_does_not_deviate(constant: float) -> None:
    moments = moments_of(*[np.full((n, 1), constant) for n in (3, 1, 256)])

    assert (moments.mean[0], moments.std[0]) == (constant, 0.0)


@pytest.mark.parametrize("shape", [(0, 3), (4, 0), (0, 0)])
def test_a_batch_without_cells_adds_only_its_rows(shape: tuple[int, int]) -> None:
    moments = Moments(3)
    moments.update(np.ones((2, 3)))

    moments.update(np.empty(shape))

    assert moments.rows == 2 + shape[0]
    assert moments.count.tolist() == [2, 2, 2]


def test_a_batch_of_fewer_features_is_of_the_first() -> None:
    moments = moments_of(np.ones((2, 3)), np.full((2, 1), 3.0))

    assert moments.count.tolist() == [4, 2, 2]
    assert moments.mean.tolist() == [2.0, 1.0, 1.0]


def test_the_batch_itself_is_not_changed() -> None:
    values = np.array([[np.nan, np.inf, 1.0]])
    before = values.copy()

    Moments(3).update(values)

    np.testing.assert_array_equal(values, before)


tables = arrays(np.float64, st.tuples(st.integers(0, 12), st.just(3)), elements=st.floats(width=64))


@given(tables, tables)
def test_merging_equals_having_seen_all_rows(one: Floats, two: Floats) -> None:
    together = moments_of(np.concatenate((one, two)))

    merged = moments_of(one)
    merged.merge(moments_of(two))

    size = np.maximum(np.abs(together.minimum), np.abs(together.maximum))
    close = np.where(together.count > 0, size, 0) * 1e-13 + LEAST
    assert merged.rows == together.rows
    for name in ("count", "infinite", "zeros", "negatives", "integral", "minimum", "maximum"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(together, name))
    assert (np.abs(merged.mean - together.mean) <= close).all()
    assert (np.abs(merged.std - together.std) <= close).all()
