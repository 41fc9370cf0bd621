import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from sidecar.quality.curves import POINTS, Curves, Ranking, auc, average_precision, curves, ranked
from sidecar.stats.moments import Flags, Floats

Rows = tuple[Floats, Flags, Floats]


def rows(seed: int, *, n: int = 300, digits: int = 2, weighted: bool = True) -> Rows:
    rng = np.random.default_rng(seed)
    came_true = rng.random(n) < 0.3
    probabilities = np.round(rng.beta(1 + came_true, 2, size=n), digits)
    return probabilities, came_true, rng.exponential(size=n) if weighted else np.ones(n)


def of(probabilities: list[float], came_true: list[int], weights: list[float] | None = None) -> Ranking:
    return ranked(
        np.array(probabilities, dtype=np.float64),
        np.array(came_true, dtype=np.bool_),
        np.ones(len(probabilities)) if weights is None else np.array(weights),
    )


CASES = [(seed, digits, weighted) for seed in range(3) for digits in (1, 2, 15) for weighted in (False, True)]


@pytest.mark.parametrize(("seed", "digits", "weighted"), CASES)
def test_areas_are_scikit_learn_s(seed: int, digits: int, weighted: bool) -> None:
    probabilities, came_true, weights = rows(seed, digits=digits, weighted=weighted)
    ranking = ranked(probabilities, came_true, weights)

    assert roc_auc_score(came_true, probabilities, sample_weight=weights) == pytest.approx(auc(ranking), abs=1e-12)
    expected = average_precision_score(came_true, probabilities, sample_weight=weights)
    assert expected == pytest.approx(average_precision(ranking), abs=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_curves_of_few_thresholds_are_scikit_learn_s_to_the_point(weighted: bool) -> None:
    probabilities, came_true, weights = rows(1, digits=2, weighted=weighted)

    told = curves(ranked(probabilities, came_true, weights))

    false, true, _ = roc_curve(came_true, probabilities, sample_weight=weights, drop_intermediate=False)
    precisions, recalls, _ = precision_recall_curve(came_true, probabilities, sample_weight=weights)
    np.testing.assert_allclose(told.false_positive_rates, false, atol=1e-12)
    np.testing.assert_allclose(told.true_positive_rates, true, atol=1e-12)
    np.testing.assert_allclose(told.precisions, precisions[::-1], atol=1e-12)
    np.testing.assert_allclose(told.recalls, recalls[::-1], atol=1e-12)


def test_curves_of_many_thresholds_keep_their_ends_and_areas_in_200_points() -> None:
    ranking = ranked(*rows(2, n=5000, digits=15))

    told = curves(ranking)

    for curve in (told.false_positive_rates, told.true_positive_rates, told.recalls):
        assert curve.size <= POINTS
        assert (np.diff(curve) >= 0).all()
        assert (curve[0], curve[-1]) == (0.0, 1.0)
    assert told.precisions.size == told.recalls.size
    assert told.precisions[-1] == pytest.approx(ranking.hits.sum() / (ranking.hits + ranking.misses).sum())
    steps = np.diff(told.false_positive_rates) + np.diff(told.true_positive_rates)
    assert steps.max() < 0.02
    area = np.trapezoid(told.true_positive_rates, told.false_positive_rates)
    assert area == pytest.approx(auc(ranking), abs=1e-3)
    assert np.diff(told.recalls) @ told.precisions[1:] == pytest.approx(average_precision(ranking), abs=1e-2)


@pytest.mark.parametrize("n", [POINTS - 2, POINTS - 1, POINTS, POINTS + 1])
def test_curves_are_thinned_from_their_bound_on(n: int) -> None:
    all_true = curves(of(np.linspace(0, 1, n).tolist(), [1] * n))
    mixed = curves(of(np.linspace(0, 1, n).tolist(), [i % 2 for i in range(n)]))

    assert all_true.recalls.size == (n + 1 if n < POINTS else POINTS - 1)
    assert max(mixed.false_positive_rates.size, mixed.recalls.size) <= POINTS


# By hand: pairs of a hit and a miss in the right order, ties half.
@pytest.mark.parametrize(
    ("ranking", "expected"),
    [
        (of([0.9, 0.1], [1, 0]), 1.0),
        (of([0.1, 0.9], [1, 0]), 0.0),
        (of([0.5, 0.5], [1, 0]), 0.5),
        (of([0.5, 0.5, 0.5, 0.1], [1, 0, 0, 0]), 2 / 3),
        (of([0.3, 0.2, 0.1], [1, 0, 1], [1.0, 2.0, 3.0]), 0.25),
        (of([0.0, -0.0], [1, 0]), 0.5),
    ],
)
def test_auc_is_the_share_of_pairs_in_order(ranking: Ranking, expected: float) -> None:
    assert expected == auc(ranking)


UNDEFINED = [
    of([], []),
    of([0.4], [1]),
    of([0.4], [0]),
    of([0.4, 0.6], [1, 1]),
    of([0.4, 0.6], [0, 0]),
    of([0.4, 0.6], [1, 0], [0.0, 0.0]),
]


@pytest.mark.parametrize("ranking", UNDEFINED)
def test_without_both_kinds_of_rows_the_auc_is_nan_and_roc_is_empty(ranking: Ranking) -> None:
    told = curves(ranking)

    assert math.isnan(auc(ranking))
    assert told.false_positive_rates.size == told.true_positive_rates.size == 0


def test_without_hits_there_is_no_precision_and_with_hits_alone_it_is_1() -> None:
    none, all_true = of([0.4, 0.6], [0, 0]), of([0.4, 0.6], [1, 1])

    assert math.isnan(average_precision(none))
    assert curves(none).recalls.size == 0
    assert average_precision(all_true) == 1.0
    assert curves(all_true).recalls.tolist() == [0.0, 0.5, 1.0]


def test_equal_probabilities_are_one_rank_and_the_highest_comes_first() -> None:
    ranking = of([0.2, 0.7, 0.2, 0.7], [1, 0, 0, 1], [1.0, 2.0, 3.0, 4.0])

    assert ranking.probabilities.tolist() == [0.7, 0.2]
    assert ranking.hits.tolist() == [4.0, 1.0]
    assert ranking.misses.tolist() == [2.0, 3.0]


def test_a_row_of_weight_w_is_w_rows() -> None:
    probabilities, came_true, _ = rows(3, n=50)
    times = np.random.default_rng(3).integers(0, 4, size=50)

    weighted = ranked(probabilities, came_true, times.astype(np.float64))
    repeated = ranked(np.repeat(probabilities, times), np.repeat(came_true, times), np.ones(times.sum()))

    assert auc(repeated) == pytest.approx(auc(weighted), abs=1e-12)
    assert average_precision(repeated) == pytest.approx(average_precision(weighted), abs=1e-12)


def test_the_order_of_rows_does_not_matter() -> None:
    probabilities, came_true, weights = rows(4, weighted=False)
    shuffled = np.random.default_rng(4).permutation(probabilities.size)

    one: Curves = curves(ranked(probabilities, came_true, weights))
    other: Curves = curves(ranked(probabilities[shuffled], came_true[shuffled], weights))

    assert one.recalls.tolist() == other.recalls.tolist()
    assert one.precisions.tolist() == other.precisions.tolist()
