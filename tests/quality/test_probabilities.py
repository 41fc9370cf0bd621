import math

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from sidecar.quality.answers import Answers
from sidecar.quality.curves import ranked
from sidecar.quality.probabilities import (
    BINS,
    SMALLEST,
    Rated,
    calibration_error,
    losses,
    ranking_of,
    rated,
    reliability,
    scores_of_probabilities,
)
from sidecar.stats.moments import Floats


def answers(probabilities: Floats, actual: list[int], weights: list[float] | None = None) -> Answers:
    return Answers(
        classes=tuple("abcdef"[: probabilities.shape[1]]),
        actual=np.array(actual),
        predicted=probabilities.argmax(axis=1),
        probabilities=probabilities,
        weights=np.ones(len(actual)) if weights is None else np.array(weights),
    )


def random_rows(seed: int, classes: int, *, weighted: bool = True, n: int = 200) -> Rated:
    rng = np.random.default_rng(seed)
    weights = rng.exponential(size=n) if weighted else np.ones(n)
    probabilities = rng.dirichlet(np.ones(classes), size=n)
    return rated(answers(probabilities, rng.integers(classes, size=n).tolist(), weights.tolist()))


def scores(rows: Rated) -> dict[str, float]:
    return scores_of_probabilities(rows.probabilities.shape[1], losses(rows), ranking_of(rows))


def binary(positive: list[float]) -> Floats:
    return np.column_stack([1 - np.array(positive), positive])


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("weighted", [False, True])
def test_losses_are_scikit_learn_s(classes: int, weighted: bool) -> None:
    rows = random_rows(classes, classes, weighted=weighted)

    told = scores(rows)

    options = {"sample_weight": rows.weights, "labels": np.arange(classes)}
    expected = log_loss(rows.actual, y_proba=rows.probabilities, **options)
    assert expected == pytest.approx(told["log_loss"], rel=1e-12)
    expected = brier_score_loss(rows.actual, rows.probabilities, **options)
    assert expected == pytest.approx(told["brier_score"], rel=1e-12)


def test_certainty_that_was_wrong_costs_what_scikit_learn_makes_it_cost() -> None:
    rows = rated(answers(binary([1.0, 0.0, 1.0]), [0, 0, 1]))

    told = scores(rows)

    expected = log_loss(rows.actual, y_proba=rows.probabilities)
    assert expected == pytest.approx(told["log_loss"], rel=1e-12)
    assert told["log_loss"] == pytest.approx(-math.log(SMALLEST) / 3, rel=1e-9)
    assert told["brier_score"] == pytest.approx(1 / 3)


def test_certainty_that_was_right_costs_next_to_nothing_and_never_minus_0() -> None:
    told = scores(rated(answers(binary([1.0, 0.0]), [1, 0])))

    assert told["log_loss"] == SMALLEST
    assert told["brier_score"] == 0.0


def test_rows_without_probabilities_are_left_out() -> None:
    given = binary([0.2, 0.9, 0.4])
    given[1, 0] = np.nan
    given[2, 1] = np.inf

    rows = rated(answers(given, [0, 1, 1], [2.0, 3.0, 4.0]))

    assert rows.actual.tolist() == [0]
    assert rows.weights.tolist() == [2.0]
    assert rows.probabilities.tolist() == [[0.8, 0.2]]


def test_probabilities_beyond_their_range_are_clipped() -> None:
    rows = rated(answers(np.array([[-1e-9, 1.0 + 1e-9], [1e200, -1e200]]), [1, 0]))

    assert rows.probabilities.tolist() == [[0.0, 1.0], [1.0, 0.0]]
    assert scores(rows)["log_loss"] == pytest.approx(0.0, abs=1e-12)


def test_rating_leaves_the_answers_alone() -> None:
    given = np.array([[-0.5, 1.5]])

    losses(rated(answers(given, [1])))

    assert given.tolist() == [[-0.5, 1.5]]


@pytest.mark.parametrize("classes", [0, 1, 2, 3])
def test_without_rows_every_number_is_nan(classes: int) -> None:
    none = np.empty(0, dtype=np.int64)

    told = scores(rated(Answers(tuple("abc"[:classes]), none, none, None, np.empty(0))))

    assert ("auc" in told) == (classes == 2)
    assert all(math.isnan(score) for score in told.values())


def test_reliability_of_distinct_probabilities_is_scikit_learn_s_by_quantiles() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.beta(1, 4, size=1000)
    came_true = rng.random(1000) < probabilities**1.5

    table = reliability(ranked(probabilities, came_true, np.ones(1000)))

    shares, said = calibration_curve(came_true, probabilities, n_bins=BINS, strategy="quantile")
    np.testing.assert_allclose(table.probabilities, said, rtol=1e-12)
    np.testing.assert_allclose(table.shares, shares, rtol=1e-12)
    assert table.weights.tolist() == [100.0] * BINS


# By hand.
@pytest.mark.parametrize(
    ("probabilities", "came_true", "weights", "expected"),
    [
        ([0.3], [1], [1.0], 0.7),
        ([0.25] * 4, [1, 0, 0, 0], [1.0] * 4, 0.0),
        ([0.5] * 4, [1, 0, 0, 0], [1.0] * 4, 0.25),
        ([0.5] * 2, [1, 0], [3.0, 1.0], 0.25),
        ([0.0, 1.0], [0, 1], [1.0, 1.0], 0.0),
        ([0.0, 1.0], [1, 0], [1.0, 1.0], 1.0),
        ([0.1, 0.9], [1, 1], [3.0, 1.0], (3 * 0.9 + 0.1) / 4),
    ],
)
def test_calibration_error_is_the_mean_gap_between_said_and_came_true(
    probabilities: list[float], came_true: list[int], weights: list[float], expected: float
) -> None:
    ranking = ranked(np.array(probabilities), np.array(came_true, dtype=np.bool_), np.array(weights))

    assert calibration_error(ranking) == pytest.approx(expected, abs=1e-12)


def test_a_rare_event_s_bins_do_not_collapse_into_one() -> None:
    probabilities = np.repeat([0.001, 0.002, 0.01], 1000)
    came_true = np.arange(3000) % 1000 < np.repeat([2, 1, 10], 1000)

    ranking = ranked(probabilities, came_true, np.ones(3000))

    # Of equal width, one bin would hold all three, and 0.002 and 0.001 the wrong way round would cancel.
    assert calibration_error(ranking) == pytest.approx(0.002 / 3)


def test_of_many_classes_calibration_is_about_the_class_that_was_predicted() -> None:
    given = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6], [0.5, 0.3, 0.2]])
    rows = rated(answers(given, [0, 1, 1]))

    ranking = ranking_of(rows)

    assert ranking.probabilities.tolist() == [0.6, 0.5]
    assert ranking.hits.tolist() == [1.0, 0.0]
    assert ranking.misses.tolist() == [1.0, 1.0]
    assert scores(rows)["calibration_error"] == pytest.approx((2 * 0.1 + 0.5) / 3)


def test_a_calibrated_model_s_error_is_what_chance_leaves() -> None:
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(100):
        probabilities = rng.random(1000)
        errors.append(calibration_error(ranked(probabilities, rng.random(1000) < probabilities, np.ones(1000))))

    # sqrt(2 / pi * 10 / n) times the mean of sqrt(p (1 - p)), which is pi / 8.
    assert np.mean(errors) == pytest.approx((2 / math.pi * 10 / 1000) ** 0.5 * math.pi / 8, rel=0.05)
