import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from sidecar.quality.answers import Amounts
from sidecar.quality.regression import NOTHING, errors_of, merged, quality_of_amounts, scores_of_errors


def amounts(actual: list[float], predicted: list[float], weights: list[float] | None = None) -> Amounts:
    weighed = np.ones(len(actual)) if weights is None else np.array(weights)
    return Amounts(np.array(actual, dtype=np.float64), np.array(predicted, dtype=np.float64), weighed)


def random_amounts(seed: int, *, weighted: bool, n: int = 200, offset: float = 0.0) -> Amounts:
    rng = np.random.default_rng(seed)
    actual = offset + rng.normal(size=n)
    weights = rng.exponential(size=n) if weighted else np.ones(n)
    return Amounts(actual, actual + 0.3 * rng.normal(size=n), weights)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_every_number_is_scikit_learn_s(seed: int, weighted: bool, offset: float) -> None:
    some = random_amounts(seed, weighted=weighted, offset=offset)
    weights = some.weights

    scores = quality_of_amounts(some)

    squared = mean_squared_error(some.actual, some.predicted, sample_weight=weights)
    assert scores == {
        "mae": pytest.approx(mean_absolute_error(some.actual, some.predicted, sample_weight=weights), rel=1e-9),
        "mse": pytest.approx(squared, rel=1e-9),
        "rmse": pytest.approx(squared**0.5, rel=1e-9),
        "r2": pytest.approx(r2_score(some.actual, some.predicted, sample_weight=weights), rel=1e-9),
    }


def test_model_monitor_s_names_in_its_order() -> None:
    assert list(quality_of_amounts(amounts([1.0, 2.0], [1.0, 3.0]))) == ["mae", "mse", "rmse", "r2"]


@pytest.mark.parametrize("none", [amounts([], []), amounts([1.0, 2.0], [3.0, 4.0], [0.0, 0.0])])
def test_without_rows_nothing_is_defined(none: Amounts) -> None:
    assert all(math.isnan(score) for score in quality_of_amounts(none).values())


@pytest.mark.parametrize(
    "constant",
    [
        amounts([5.0], [5.0]),
        amounts([5.0], [6.0]),
        amounts([0.1] * 7, [0.1] * 7),
        amounts([0.1] * 7, [0.3] * 7, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
        amounts([0.1, 9.0], [0.3, 0.3], [1.0, 0.0]),
    ],
)
def test_of_equal_labels_r2_is_undefined_and_the_rest_is_not(constant: Amounts) -> None:
    scores = quality_of_amounts(constant)

    assert math.isnan(scores.pop("r2"))
    assert all(math.isfinite(score) for score in scores.values())


@pytest.mark.parametrize("size", [1e-300, 1e-170, 1e154, 1e200, 1e300])
def test_no_size_overflows_or_vanishes(size: float) -> None:
    plain = quality_of_amounts(amounts([1.0, -2.0, 3.0], [1.5, -1.0, 2.0]))
    sized = quality_of_amounts(amounts([size, -2 * size, 3 * size], [1.5 * size, -size, 2 * size]))

    assert sized["mae"] == pytest.approx(plain["mae"] * size, rel=1e-12)
    assert sized["rmse"] == pytest.approx(plain["rmse"] * size, rel=1e-12)
    assert sized["r2"] == pytest.approx(plain["r2"], rel=1e-12)
    assert sized["mse"] == pytest.approx(sized["rmse"] * sized["rmse"])


def test_the_widest_distance_there_is_does_not_overflow_where_its_mean_does_not() -> None:
    greatest = float(np.finfo(np.float64).max)

    scores = quality_of_amounts(amounts([greatest, -greatest, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]))
    opposite = quality_of_amounts(amounts([greatest, -greatest], [-greatest, greatest]))

    assert scores["mae"] == pytest.approx(greatest / 2)
    assert scores["r2"] == pytest.approx(0.0)
    assert opposite["mae"] == opposite["rmse"] == opposite["mse"] == math.inf
    assert math.isnan(opposite["r2"])


@pytest.mark.parametrize("weight", [1e-9, 3.0, 1e9])
def test_only_the_proportions_of_weights_matter(weight: float) -> None:
    some = random_amounts(0, weighted=False)

    weighed = quality_of_amounts(Amounts(some.actual, some.predicted, some.weights * weight))

    assert weighed == pytest.approx(quality_of_amounts(some), rel=1e-12)


@pytest.mark.parametrize("cut", [0, 1, 77, 199, 200])
def test_merged_parts_are_the_whole(cut: int) -> None:
    some = random_amounts(1, weighted=True, offset=1e6)
    parts = [
        errors_of(Amounts(some.actual[part], some.predicted[part], some.weights[part]))
        for part in (slice(cut), slice(cut, None))
    ]

    assert scores_of_errors(merged(*parts)) == pytest.approx(quality_of_amounts(some), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e300, 1e300), max_size=6), st.lists(st.floats(-1e300, 1e300), max_size=6))
def test_whatever_is_merged_no_warning_comes_and_nothing_is_negative(one: list[float], other: list[float]) -> None:
    errors = merged(errors_of(amounts(one, one[::-1])), errors_of(amounts(other, other[::-1])))

    scores = scores_of_errors(errors)
    assert (errors == NOTHING) == (not one and not other)
    assert all(not scores[name] < 0.0 for name in ("mae", "mse", "rmse"))
    assert not scores["r2"] > 1.0
