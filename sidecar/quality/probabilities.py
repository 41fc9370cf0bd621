"""How much the probabilities of a classifier are worth as probabilities: log loss, Brier score, calibration.

Of two classes all is about the positive one. Of any other number, calibration is about the class that was predicted
and whether it was right (Guo et al., "On Calibration of Modern Neural Networks", 2017); a Ranking holds either.
"""

import math
from dataclasses import dataclass

import numpy as np

from sidecar.quality.answers import Answers
from sidecar.quality.curves import Ranking, auc, average_precision, ranked
from sidecar.stats.moments import Counts, Flags, Floats

BINS = 10

SMALLEST = float(np.finfo(np.float64).eps)
"""No probability is taken for less, or for more than 1 less this, by log loss: as scikit-learn has it."""


@dataclass(frozen=True, slots=True)
class Rated:
    """The rows of a classifier that have probabilities: m of n.

    Args:
        actual: As in `Answers`, shape (m,).
        predicted: Likewise.
        probabilities: Shape (m, C), all of 0 to 1.
        weights: Shape (m,).
    """

    actual: Counts
    predicted: Counts
    probabilities: Floats
    weights: Floats


@dataclass(frozen=True, slots=True)
class Losses:
    """What the probabilities of some rows have cost, as sums that add up.

    Args:
        weight: Of the rows.
        log: Weighted sum of -ln(probability of the label).
        squared: Weighted sum over rows and classes of (probability - whether it is the label)^2.
    """

    weight: float
    log: float
    squared: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """What was said beside what came true, in at most 10 bins from the least probable to the most.

    Args:
        probabilities: The mean in each bin.
        shares: Of its rows, those that came true.
        weights: Its rows.
    """

    probabilities: Floats
    shares: Floats
    weights: Floats


def rated(answers: Answers) -> Rated:
    """The rows with a finite probability for every class, clipped to 0 and 1: formats of few digits overshoot."""
    given = answers.probabilities
    if given is None:
        given = np.full((answers.actual.size, len(answers.classes)), np.nan)
    kept = np.isfinite(given).all(axis=1)
    return Rated(
        actual=answers.actual[kept],
        predicted=answers.predicted[kept],
        probabilities=np.clip(given[kept], 0.0, 1.0),
        weights=answers.weights[kept],
    )


def losses(rows: Rated) -> Losses:
    """The sums of these rows."""
    places = np.arange(rows.actual.size)
    of_label = rows.probabilities[places, rows.actual]
    log = -np.log(np.clip(of_label, SMALLEST, 1.0 - SMALLEST))
    away = rows.probabilities.copy()
    away[places, rows.actual] -= 1.0
    squared = np.einsum("ij,ij->i", away, away)
    return Losses(float(rows.weights.sum()), float(rows.weights @ log), float(rows.weights @ squared))


def positives(rows: Rated) -> tuple[Floats, Flags]:
    """Of two classes the probability of the second, and whether it was the label; both of shape (m,)."""
    return rows.probabilities[:, 1], rows.actual == 1


def predictions(rows: Rated) -> tuple[Floats, Flags]:
    """The probability of the class that was predicted, and whether it was the label; both of shape (m,)."""
    return rows.probabilities[np.arange(rows.actual.size), rows.predicted], rows.actual == rows.predicted


def ranking_of(rows: Rated) -> Ranking:
    """The ranking of these rows: of two classes by the positive, of any other number by the predicted one."""
    probabilities, came_true = positives(rows) if rows.probabilities.shape[1] == 2 else predictions(rows)
    return ranked(probabilities, came_true, rows.weights)


def reliability(ranking: Ranking) -> Reliability:
    """The table behind `calibration_error`, for a plot; bins without rows are left out."""
    weight = ranking.hits + ranking.misses
    middles = np.cumsum(weight) - weight / 2
    total = float(weight.sum())
    if total <= 0.0:
        return Reliability(np.empty(0), np.empty(0), np.empty(0))
    places = BINS - 1 - np.minimum(middles / total * BINS, BINS - 1).astype(np.int64)
    weights, said, came = (
        np.bincount(places, weights=column, minlength=BINS).astype(np.float64)
        for column in (weight, weight * ranking.probabilities, ranking.hits)
    )
    used = weights > 0
    return Reliability(said[used] / weights[used], came[used] / weights[used], weights[used])


def calibration_error(ranking: Ranking) -> float:
    """The expected calibration error: how far what was said is from what came true, on average; NaN without rows.

        ECE = sum over bins of |sum of (probability - came true)| / rows

    Definition: Naeini, Cooper and Hauskrecht, "Obtaining Well Calibrated Probabilities Using Bayesian Binning", 2015.
    The 10 bins are of equal mass (Nixon et al., "Measuring Calibration in Deep Learning", 2019), since bins of equal
    width hold nearly all rows in one where an event is rare. Rows of equal probability share a bin: the one in which
    the middle of them lies.

    Of n rows of a perfectly calibrated model it is not 0: up to sqrt(2 / pi * 10 / n) / 2, which is 0.04 for 1,000.
    """
    table = reliability(ranking)
    total = float(table.weights.sum())
    if total <= 0.0:
        return math.nan
    return float(table.weights @ np.abs(table.probabilities - table.shares)) / total


def scores_of_probabilities(classes: int, sums: Losses, ranking: Ranking) -> dict[str, float]:
    """What a classifier's probabilities are worth, by name; NaN without any.

    The Brier score of two classes is halved, as scikit-learn has it: the mean of (probability of the positive - whether
    it is)^2 where a row's two add up to 1.

    Args:
        classes: How many; `auc` and `au_prc` are of two.
        sums: Of the rows.
        ranking: Of the same rows.
    """
    scores = {"auc": auc(ranking), "au_prc": average_precision(ranking)} if classes == 2 else {}
    scale = 2.0 if classes <= 2 else 1.0
    known = sums.weight > 0.0
    return scores | {
        "log_loss": sums.log / sums.weight if known else math.nan,
        "brier_score": sums.squared / (scale * sums.weight) if known else math.nan,
        "calibration_error": calibration_error(ranking),
    }
