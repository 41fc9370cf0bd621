"""How often a classifier is right, and in which way it is wrong: all of it from the matrix of confusion.

Names and definitions are Model Monitor's
(https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-metrics.html).
"""

import math

import numpy as np

from sidecar.quality.answers import Answers
from sidecar.quality.probabilities import losses, ranking_of, rated, scores_of_probabilities
from sidecar.stats.moments import Floats

BETAS = {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}

BINARY = ("recall", "precision", "accuracy", *BETAS)
"""The names that a binary classifier's constant rival is scored by too."""

CONSTANT = "_best_constant_classifier"


def confusion(answers: Answers) -> Floats:
    """The weight of the rows of each label and each prediction, shape (C, C): [actual, predicted]."""
    classes = len(answers.classes)
    cells = np.bincount(answers.actual * classes + answers.predicted, weights=answers.weights, minlength=classes**2)
    # Of no rows numpy counts in integers.
    return cells.reshape(classes, classes).astype(np.float64)


def scores_of(matrix: Floats) -> dict[str, float]:
    """Every number that a matrix of confusion gives, by name: the binary forms of two classes, else the multiclass.

    A quotient without rows to divide by is NaN, never 0. F_beta is (1 + beta^2) TP / ((1 + beta^2) TP + beta^2 FN +
    FP), which is 0 and not NaN where nothing is predicted and something should have been.

    The weighted forms are means over the classes, by the rows of each. A class without rows has no share in them; one
    that has rows and is never predicted counts as of precision 0, as in Spark and in Model Monitor's example: a model
    that gives up a class is not to look better for it.

    The best constant classifier is what the model must beat: it gives every row the same answer. Of two classes that
    is the positive one, as in Model Monitor's example, since the other's recall and F are 0. Of more it is the class
    with the most rows, the first of equals. Model Monitor's example for these has classes of 1,690 and 406 rows, and
    gives 406 / 2,096 for its accuracy: the other constant's number, which is not the best, and is not copied.

    Args:
        matrix: Shape (C, C), [actual, predicted].

    Example:
        >>> scores = scores_of(np.array([[1.0, 2.0], [0.0, 1.0]]))
        >>> scores["recall"], scores["f1"], scores["f1_best_constant_classifier"]
        (1.0, 0.5, 0.4)
    """
    rows = matrix.sum(axis=1)
    best = 1 if rows.size == 2 else int(np.argmax(rows)) if rows.size else 0
    constant = np.zeros_like(matrix)
    constant[:, best : best + 1] = rows[:, None]
    if rows.size == 2:
        scores, rival = _binary(matrix), _binary(constant)
        compared = BINARY
    else:
        scores, rival = _multiclass(matrix), _multiclass(constant)
        compared = tuple(rival)
    return scores | {f"{name}{CONSTANT}": rival[name] for name in compared}


def quality(answers: Answers) -> dict[str, float]:
    """All of it for rows: every number of the matrix, then `log_loss`, `brier_score` and `calibration_error`.

    Of two classes `auc` and `au_prc` too. Which names there are depends on the number of classes alone: where no row
    has probabilities, theirs are NaN.
    """
    rows = rated(answers)
    told = scores_of_probabilities(len(answers.classes), losses(rows), ranking_of(rows))
    return scores_of(confusion(answers)) | told


def _binary(matrix: Floats) -> dict[str, float]:
    ((tn, fp), (fn, tp)) = matrix.tolist()
    scores = {
        "recall": _ratio(tp, tp + fn),
        "precision": _ratio(tp, tp + fp),
        "accuracy": _ratio(tp + tn, tp + tn + fp + fn),
        "true_positive_rate": _ratio(tp, tp + fn),
        "true_negative_rate": _ratio(tn, tn + fp),
        "false_positive_rate": _ratio(fp, tn + fp),
        "false_negative_rate": _ratio(fn, tp + fn),
    }
    for name, beta in BETAS.items():
        twice = (1 + beta * beta) * tp
        scores[name] = _ratio(twice, twice + beta * beta * fn + fp)
    return scores


def _multiclass(matrix: Floats) -> dict[str, float]:
    right, actual, predicted = np.diagonal(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    total = float(actual.sum())
    accuracy = _ratio(float(right.sum()), total)
    scores = {"accuracy": accuracy, "weighted_recall": accuracy}
    shares = actual / total if total > 0.0 else np.full(actual.size, np.nan)
    scores["weighted_precision"] = _mean(shares, right, predicted)
    for name, beta in BETAS.items():
        weighted = beta * beta * actual + predicted
        scores[f"weighted_{name}"] = _mean(shares, (1 + beta * beta) * right, weighted)
    return scores


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else math.nan


def _mean(shares: Floats, parts: Floats, wholes: Floats) -> float:
    """The mean of parts / wholes by these shares; 0 where a whole is 0, and NaN where there are no shares."""
    ratios = np.divide(parts, wholes, out=np.zeros_like(wholes), where=wholes > 0.0)
    return float(shares @ ratios) if shares.size else math.nan
