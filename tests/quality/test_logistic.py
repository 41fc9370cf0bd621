import numpy as np
import pytest
from numpy.random import default_rng
from sklearn.linear_model import LogisticRegression, Ridge

from sidecar.quality.logistic import (
    MOST_LOGITS,
    Coding,
    association,
    by_bin,
    effective_rows,
    evened,
    least_squares,
    logistic,
    probabilities,
)
from sidecar.stats.moments import Counts, Floats


def drawn(seed: int, n: int = 400, k: int = 4) -> tuple[Counts, Floats, Floats]:
    """Codes, a binary target that depends on the first two columns, and weights."""
    rng = default_rng(seed)
    codes = rng.integers(0, 5, (n, k))
    target = (rng.random(n) < probabilities((codes[:, 0] - 2) / 2 + (codes[:, 1] == 3))).astype(np.float64)
    return codes, target, rng.uniform(0.5, 2.0, n)


@pytest.mark.parametrize("penalty", [0.1, 10.0, 1000.0])
def test_least_squares_are_those_of_scikit_learn(penalty: float) -> None:
    codes, target, weights = drawn(1)
    coding = Coding.learn(codes, target, weights)
    matrix = coding.matrix(codes)
    oracle = Ridge(alpha=penalty, solver="cholesky").fit(matrix[:, :-1], target, weights)

    weighted = matrix.T * weights
    solution = least_squares(weighted @ matrix, weighted @ target, coding.penalties(penalty))

    np.testing.assert_allclose(solution, [*oracle.coef_, oracle.intercept_], atol=1e-9)
    np.testing.assert_allclose(coding.effects(solution)(codes), oracle.predict(matrix[:, :-1]), atol=1e-9)


@pytest.mark.parametrize("penalty", [0.1, 10.0, 1000.0])
def test_logistic_is_that_of_scikit_learn(penalty: float) -> None:
    codes, target, weights = drawn(2)
    coding = Coding.learn(codes, target, weights)
    matrix = coding.matrix(codes)
    oracle = LogisticRegression(C=1 / penalty, tol=1e-12, max_iter=10_000).fit(matrix[:, :-1], target, weights)

    solution = logistic(matrix, target, weights, coding.penalties(penalty))

    np.testing.assert_allclose(solution, [*oracle.coef_[0], *oracle.intercept_], atol=2e-6)


def test_a_share_as_target_is_as_many_rows_of_either_class() -> None:
    codes, _, weights = drawn(3)
    shares = default_rng(3).random(len(codes))
    coding = Coding.learn(codes, shares, weights)
    matrix = coding.matrix(codes)
    penalties = coding.penalties(3.0)

    both = np.concatenate((weights * shares, weights * (1 - shares)))
    classes = np.repeat([1.0, 0.0], len(codes))
    doubled = logistic(np.concatenate((matrix, matrix)), classes, both, penalties)

    np.testing.assert_allclose(logistic(matrix, shares, weights, penalties), doubled, atol=1e-6)


def test_classes_that_a_bin_separates_have_finite_effects() -> None:
    codes = np.repeat([[0], [1]], 1000, axis=0)
    target = codes[:, 0].astype(np.float64)
    coding = Coding.learn(codes, target, np.ones(2000))

    solution = logistic(coding.matrix(codes), target, np.ones(2000), coding.penalties(1e-3))

    expected = probabilities(coding.effects(solution)(codes))
    assert np.abs(solution).max() < MOST_LOGITS
    np.testing.assert_allclose(expected, target, atol=1e-3)


@pytest.mark.parametrize(("value", "weight", "intercept"), [(1.0, 1.0, 30.0), (0.0, 1.0, -30.0), (1.0, 0.0, np.nan)])
def test_rows_that_are_all_alike_have_an_intercept_only(value: float, weight: float, intercept: float) -> None:
    codes, target = np.zeros((10, 1), dtype=np.int64), np.full(10, value)
    coding = Coding.learn(codes, target, np.ones(10))

    solution = logistic(coding.matrix(codes), target, np.full(10, weight), coding.penalties(1.0))

    np.testing.assert_array_equal(solution, [0.0, intercept])


def test_what_was_not_met_before_tells_nothing() -> None:
    codes = np.array([[0, 0], [1, 1], [0, 2], [2, 2]])
    weights = np.array([1.0, 1.0, 1.0, 0.0])
    coding = Coding.learn(codes, np.array([0.0, 1.0, 1.0, 0.0]), weights)

    effects = coding.effects(np.arange(coding.size + 1.0))

    assert coding.size == 5
    assert effects(np.array([[-1, 99], [2, 3]])).tolist() == [effects.intercept] * 2
    assert effects(np.array([[0, 2], [1, 0]])).tolist() == [5.0 + 0 + 4, 5.0 + 1 + 2]


def test_beyond_the_bound_the_columns_that_tell_most_are_taken() -> None:
    codes, target, weights = drawn(4, n=2000, k=8)

    coding = Coding.learn(codes, target, weights, most=10)

    assert np.flatnonzero((coding.places < coding.size).any(axis=1)).tolist() == [0, 1]
    assert coding.size == 10


def test_association_is_the_adjusted_share_of_the_variance_between_bins() -> None:
    codes, target, _ = drawn(5)
    between = sum(
        (codes[:, 0] == code).sum() * (target[codes[:, 0] == code].mean() - target.mean()) ** 2 for code in range(5)
    )
    share = between / ((target - target.mean()) ** 2).sum()

    told = association(codes, target, np.ones(400))

    assert told[0] == pytest.approx(1 - (1 - share) * 399 / 395, rel=1e-12)


def test_chance_has_no_association_on_average() -> None:
    rng = default_rng(6)

    told = association(rng.integers(0, 10, (500, 200)), rng.random(500), rng.uniform(0.5, 1.5, 500))

    assert abs(told.mean()) < 0.002


@pytest.mark.parametrize("codes", [np.zeros((9, 1), dtype=np.int64), np.arange(9)[:, None]])
def test_a_column_of_one_bin_or_of_a_bin_a_row_tells_nothing(codes: Counts) -> None:
    assert association(codes, np.arange(9.0), np.ones(9)).tolist() == [-np.inf]


def test_nothing_is_known_without_rows_or_columns() -> None:
    nothing = np.zeros((0, 3), dtype=np.int64)
    coding = Coding.learn(nothing, np.zeros(0), np.zeros(0))

    assert coding.size == 0
    assert coding.matrix(np.zeros((2, 3), dtype=np.int64)).tolist() == [[1.0], [1.0]]
    assert association(nothing, np.zeros(0), np.zeros(0)).tolist() == [-np.inf] * 3
    assert Coding.learn(np.zeros((4, 0), dtype=np.int64), np.ones(4), np.ones(4)).size == 0


def test_sums_by_bin_are_those_of_a_loop() -> None:
    codes, _, values = drawn(7)

    sums = by_bin(codes, 4, values)

    loop = [[values[codes[:, column] == code].sum() for code in range(4)] for column in range(4)]
    np.testing.assert_allclose(sums, loop, atol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e-300, 1e300])
def test_evened_weights_add_up_to_the_effective_rows(scale: float) -> None:
    weights = np.array([1.0, 1.0, 2.0, 0.0]) * scale

    assert effective_rows(weights) == pytest.approx(16 / 6)
    np.testing.assert_allclose(evened(weights), np.array([1.0, 1.0, 2.0, 0.0]) * (16 / 6) / 4)


def test_no_weights_are_no_rows() -> None:
    assert effective_rows(np.zeros(3)) == 0
    assert evened(np.zeros(3)).tolist() == [0.0, 0.0, 0.0]


def test_a_step_that_goes_too_far_is_halved() -> None:
    # The first step of a bin with the only positives among 2,000 rows is some hundred logits.
    codes = np.r_[np.zeros(1990, dtype=np.int64), np.ones(10, dtype=np.int64)][:, None]
    target = codes[:, 0].astype(np.float64)
    coding = Coding.learn(codes, target, np.ones(2000))
    matrix, penalties = coding.matrix(codes), coding.penalties(0.01)

    solution = logistic(matrix, target, np.ones(2000), penalties)

    slope = matrix.T @ (target - probabilities(matrix @ solution)) - penalties * solution
    np.testing.assert_allclose(slope, 0, atol=1e-6)
