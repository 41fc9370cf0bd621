import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from sidecar.quality.isotonic import fit
from sidecar.stats.moments import Floats

POINTS = st.lists(
    st.tuples(st.integers(0, 12), st.floats(-9, 9), st.sampled_from([0.0, 0.25, 1.0, 7.0])), min_size=1, max_size=60
).filter(lambda points: any(weight > 0 for _, _, weight in points))


def oracle(x: Floats, y: Floats, weights: Floats, at: Floats) -> Floats:
    curve = IsotonicRegression(out_of_bounds="clip").fit(x, y, sample_weight=weights)
    return np.asarray(curve.predict(at))


@given(POINTS)
def test_it_is_scikit_learn_s_with_ties_and_weights(points: list[tuple[int, float, float]]) -> None:
    x, y, weights = np.array(points, dtype=np.float64).T
    at = np.linspace(-1, 13, 57)

    told = fit(x, y, weights)(at)

    np.testing.assert_allclose(told, oracle(x, y, weights, at), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("digits", [2, 16])
def test_labels_by_probability_are_scikit_learn_s(digits: int) -> None:
    rng = np.random.default_rng(1)
    x = rng.random(3_000).round(digits)
    y, weights = (rng.random(3_000) < x**2).astype(np.float64), rng.exponential(size=3_000)
    at = np.concatenate((x, rng.random(1_000) * 1.4 - 0.2))

    np.testing.assert_allclose(fit(x, y, weights)(at), oracle(x, y, weights, at), rtol=1e-9, atol=1e-9)


@given(POINTS)
def test_it_never_falls_and_keeps_the_mean(points: list[tuple[int, float, float]]) -> None:
    x, y, weights = np.array(points, dtype=np.float64).T

    told = fit(x, y, weights)(np.sort(x))

    assert (np.diff(told) >= -1e-12).all()
    assert weights @ fit(x, y, weights)(x) == pytest.approx(weights @ y, abs=1e-6)


def test_points_that_are_no_numbers_or_without_weight_are_left_out() -> None:
    x = np.array([0.1, np.nan, 0.2, 0.3, 0.4, np.inf, 0.5, 0.6])
    y = np.array([0.0, 1.0, np.nan, 0.5, 9.0, 1.0, 9.0, 1.0])
    weights = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 1.0, -1.0, np.nan])

    curve = fit(x, y, weights)

    assert (curve.x.tolist(), curve.y.tolist()) == ([0.1, 0.3], [0.0, 0.5])


def test_without_points_it_is_undefined() -> None:
    curve = fit(np.array([np.nan]), np.ones(1), np.ones(1))

    assert np.isnan(curve(np.array([0.5, np.nan]))).all()


@pytest.mark.parametrize(
    ("weights", "level"),
    [([1e308, 1e308, 1e308], 2.0), ([1e-300, 1e-300, 1e-300], 2.0), ([1e308, 1e-5, 1e-300], 3.0), ([5e-324] * 3, 2.0)],
)
def test_weights_of_any_size_are_shares(weights: list[float], level: float) -> None:
    curve = fit(np.arange(3.0), np.array([3.0, 2.0, 1.0]), np.array(weights))

    np.testing.assert_allclose(curve(np.array([1.0])), [level])


def test_a_level_stretch_is_kept_as_its_two_ends() -> None:
    curve = fit(np.arange(6.0), np.array([0.0, 1.0, 1.0, 1.0, 1.0, 2.0]), np.ones(6))

    assert curve.x.tolist() == [0.0, 1.0, 4.0, 5.0]


@pytest.mark.parametrize("shape", ["rising", "falling", "labels", "one last fall"])
def test_ten_thousand_points_take_milliseconds(shape: str) -> None:
    n = 10_000
    rng = np.random.default_rng(2)
    x = np.arange(float(n))
    y = {
        "rising": x,
        "falling": -x,
        "labels": (rng.random(n) < x / n).astype(np.float64),
        "one last fall": np.append(x[:-1], -1e9),
    }[shape]

    took = min(_took(x, y) for _ in range(5))

    assert took < 0.02


def _took(x: Floats, y: Floats) -> float:
    began = time.process_time()
    fit(x, y, np.ones(len(x)))
    return time.process_time() - began
