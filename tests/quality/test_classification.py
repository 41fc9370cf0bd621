import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    fbeta_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from sidecar.quality.answers import Answers
from sidecar.quality.classification import CONSTANT, confusion, quality, scores_of
from sidecar.stats.moments import Counts, Floats

BETAS = {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}


def random_answers(seed: int, classes: int, *, n: int = 300, weighted: bool = True) -> Answers:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(classes), size=n)
    actual = np.where(rng.random(n) < 0.5, probabilities.argmax(axis=1), rng.integers(classes, size=n))
    return Answers(
        classes=tuple(str(place) for place in range(classes)),
        actual=actual,
        predicted=probabilities.argmax(axis=1),
        probabilities=probabilities,
        weights=rng.exponential(size=n) if weighted else np.ones(n),
    )


def binary_oracle(actual: Counts, predicted: Counts, weights: Floats) -> dict[str, float]:
    options = {"sample_weight": weights, "zero_division": np.nan, "labels": [0, 1]}
    recall = recall_score(actual, predicted, **options)
    other = recall_score(actual, predicted, pos_label=0, **options)
    return {
        "recall": recall,
        "precision": precision_score(actual, predicted, **options),
        "accuracy": accuracy_score(actual, predicted, sample_weight=weights),
        "true_positive_rate": recall,
        "true_negative_rate": other,
        "false_positive_rate": 1 - other,
        "false_negative_rate": 1 - recall,
    } | {name: fbeta_score(actual, predicted, beta=beta, **options) for name, beta in BETAS.items()}


def multiclass_oracle(actual: Counts, predicted: Counts, weights: Floats) -> dict[str, float]:
    options = {"sample_weight": weights, "average": "weighted", "zero_division": 0}
    return {
        "accuracy": accuracy_score(actual, predicted, sample_weight=weights),
        "weighted_recall": recall_score(actual, predicted, **options),
        "weighted_precision": precision_score(actual, predicted, **options),
    } | {f"weighted_{name}": fbeta_score(actual, predicted, beta=beta, **options) for name, beta in BETAS.items()}


def plain(scores: dict[str, float]) -> dict[str, float]:
    return {name: score for name, score in scores.items() if not name.endswith(CONSTANT)}


def of_constant(scores: dict[str, float]) -> dict[str, float]:
    return {name.removesuffix(CONSTANT): score for name, score in scores.items() if name.endswith(CONSTANT)}


def close(expected: dict[str, float]) -> object:
    return pytest.approx(expected, abs=1e-12, nan_ok=True)


# https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-metrics.html
PUBLISHED_BINARY = {
    "recall": 1.0,
    "precision": 0.3333333333333333,
    "accuracy": 0.5,
    "recall_best_constant_classifier": 1.0,
    "precision_best_constant_classifier": 0.25,
    "accuracy_best_constant_classifier": 0.25,
    "true_positive_rate": 1.0,
    "true_negative_rate": 0.33333333333333337,
    "false_positive_rate": 0.6666666666666666,
    "false_negative_rate": 0.0,
    "f0_5": 0.3846153846153846,
    "f1": 0.5,
    "f2": 0.7142857142857143,
    "f0_5_best_constant_classifier": 0.29411764705882354,
    "f1_best_constant_classifier": 0.4,
    "f2_best_constant_classifier": 0.625,
}
PUBLISHED_MULTICLASS = {
    "accuracy": 0.6288167938931297,
    "weighted_recall": 0.6288167938931297,
    "weighted_precision": 0.6983172269629505,
    "weighted_f0_5": 0.6803947317178771,
    "weighted_f1": 0.6571162346664904,
    "weighted_f2": 0.6384024354394601,
}
PUBLISHED_CONSTANT = {
    "accuracy": 0.19370229007633588,
    "weighted_recall": 0.19370229007633588,
    "weighted_precision": 0.03752057718081697,
    "weighted_f0_5": 0.04473443104152011,
    "weighted_f1": 0.06286421244683643,
    "weighted_f2": 0.10570313141262414,
}
# A class that nobody has, so that two classes are told in the multiclass form.
MULTICLASS = np.array([[1180.0, 510.0, 0.0], [268.0, 138.0, 0.0], [0.0, 0.0, 0.0]])


def test_model_monitor_s_example_of_two_classes() -> None:
    assert scores_of(np.array([[1.0, 2.0], [0.0, 1.0]])) == close(PUBLISHED_BINARY)


def test_model_monitor_s_example_of_many_classes() -> None:
    assert plain(scores_of(MULTICLASS)) == close(PUBLISHED_MULTICLASS)


def test_model_monitor_s_example_of_a_constant_is_the_rarer_class_and_ours_the_commoner() -> None:
    always = [np.outer(MULTICLASS.sum(axis=1), np.eye(3)[place]) for place in (0, 1)]

    assert plain(scores_of(always[1])) == close(PUBLISHED_CONSTANT)
    assert of_constant(scores_of(MULTICLASS)) == close(plain(scores_of(always[0])))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
def test_two_classes_are_scored_as_scikit_learn_scores_them(seed: int, weighted: bool) -> None:
    answers = random_answers(seed, 2, weighted=weighted)
    matrix = confusion(answers)

    expected = confusion_matrix(answers.actual, answers.predicted, sample_weight=answers.weights)
    np.testing.assert_allclose(matrix, expected, rtol=1e-12)
    assert plain(scores_of(matrix)) == close(binary_oracle(answers.actual, answers.predicted, answers.weights))
    oracle = binary_oracle(answers.actual, np.ones_like(answers.actual), answers.weights)
    assert of_constant(scores_of(matrix)) == close({name: oracle[name] for name in of_constant(scores_of(matrix))})


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("classes", [3, 7])
@pytest.mark.parametrize("weighted", [False, True])
def test_many_classes_are_scored_as_scikit_learn_scores_them(seed: int, classes: int, weighted: bool) -> None:
    answers = random_answers(seed, classes, weighted=weighted)
    matrix = confusion(answers)

    assert plain(scores_of(matrix)) == close(multiclass_oracle(answers.actual, answers.predicted, answers.weights))
    most = np.full_like(answers.actual, matrix.sum(axis=1).argmax())
    assert of_constant(scores_of(matrix)) == close(multiclass_oracle(answers.actual, most, answers.weights))


@pytest.mark.parametrize("cells", [cells for cells in product([0, 2], repeat=4) if any(cells)])
def test_whatever_cells_are_empty_two_classes_are_scikit_learn_s_with_nan_for_zero_divisions(
    cells: tuple[int, ...],
) -> None:
    actual, predicted = np.repeat([0, 0, 1, 1], cells), np.repeat([0, 1, 0, 1], cells)

    scores = scores_of(np.array(cells, dtype=np.float64).reshape(2, 2))

    assert plain(scores) == close(binary_oracle(actual, predicted, np.ones(actual.size)))
    oracle = binary_oracle(actual, np.ones_like(actual), np.ones(actual.size))
    assert of_constant(scores) == close({name: oracle[name] for name in of_constant(scores)})


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=9, max_size=9).filter(any))
def test_whatever_cells_are_empty_many_classes_are_scikit_learn_s(cells: list[int]) -> None:
    actual, predicted = np.repeat(np.arange(3), 3).repeat(cells), np.tile(np.arange(3), 3).repeat(cells)

    scores = scores_of(np.array(cells, dtype=np.float64).reshape(3, 3))

    assert plain(scores) == close(multiclass_oracle(actual, predicted, np.ones(actual.size)))


def test_a_class_that_is_never_predicted_counts_as_of_precision_0_and_one_without_rows_not_at_all() -> None:
    given_up = scores_of(np.array([[3.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]))

    assert given_up["weighted_precision"] == 0.75
    assert given_up["weighted_recall"] == given_up["accuracy"] == 0.75


@pytest.mark.parametrize("classes", [0, 1, 2, 3])
def test_without_rows_every_number_is_nan(classes: int) -> None:
    none = np.empty(0, dtype=np.int64)
    for probabilities in (None, np.empty((0, classes))):
        scores = quality(Answers(tuple("abc"[:classes]), none, none, probabilities, np.empty(0)))

        assert all(math.isnan(score) for score in scores.values())


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_one_row_has_what_one_row_tells(classes: int) -> None:
    last = classes - 1
    one = np.array([last])
    answers = Answers(tuple("abc"[:classes]), one, one, np.eye(classes)[[last]], np.ones(1))

    scores = quality(answers)

    assert scores["accuracy"] == 1.0
    assert scores["log_loss"] == pytest.approx(0.0, abs=1e-15)
    assert scores["brier_score"] == scores["calibration_error"] == 0.0
    assert {name for name, score in scores.items() if math.isnan(score)} == (
        {"true_negative_rate", "false_positive_rate", "auc"} if classes == 2 else set()
    )


@pytest.mark.parametrize("classes", [2, 4])
def test_equal_weights_are_as_none(classes: int) -> None:
    answers = random_answers(1, classes, weighted=False)
    heavier = Answers(
        answers.classes, answers.actual, answers.predicted, answers.probabilities, np.full(answers.actual.size, 2.5)
    )

    assert quality(heavier) == close(quality(answers))


@pytest.mark.parametrize("classes", [2, 4])
def test_a_row_of_no_weight_is_no_row(classes: int) -> None:
    answers = random_answers(2, classes)
    weights = np.where(np.arange(answers.actual.size) % 3, answers.weights, 0.0)
    kept = weights > 0
    assert answers.probabilities is not None

    with_them = quality(Answers(answers.classes, answers.actual, answers.predicted, answers.probabilities, weights))
    without = quality(
        Answers(
            answers.classes,
            answers.actual[kept],
            answers.predicted[kept],
            answers.probabilities[kept],
            weights[kept],
        )
    )

    assert with_them == close(without)


def test_without_probabilities_what_needs_them_is_nan_and_the_rest_is_there() -> None:
    answers = random_answers(3, 2)
    bare = quality(Answers(answers.classes, answers.actual, answers.predicted, None, answers.weights))

    undefined = {"auc", "au_prc", "log_loss", "brier_score", "calibration_error"}
    assert {name for name, score in bare.items() if math.isnan(score)} == undefined
    assert list(bare) == list(quality(answers))


@pytest.mark.parametrize("weighted", [False, True])
def test_quality_of_two_classes_is_scikit_learn_s(weighted: bool) -> None:
    answers = random_answers(4, 2, weighted=weighted)
    assert answers.probabilities is not None
    positive = answers.probabilities[:, 1]

    scores = quality(answers)

    options = {"sample_weight": answers.weights}
    assert {name: scores[name] for name in ("auc", "au_prc", "log_loss", "brier_score")} == close(
        {
            "auc": roc_auc_score(answers.actual, positive, **options),
            "au_prc": average_precision_score(answers.actual, positive, **options),
            "log_loss": log_loss(answers.actual, y_proba=answers.probabilities, **options),
            "brier_score": brier_score_loss(answers.actual, positive, **options),
        }
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_quality_of_many_classes_is_scikit_learn_s(weighted: bool) -> None:
    answers = random_answers(5, 5, weighted=weighted)

    scores = quality(answers)

    options = {"sample_weight": answers.weights}
    assert {name: scores[name] for name in ("log_loss", "brier_score")} == close(
        {
            "log_loss": log_loss(answers.actual, y_proba=answers.probabilities, **options),
            "brier_score": brier_score_loss(answers.actual, answers.probabilities, **options),
        }
    )
    assert "auc" not in scores
