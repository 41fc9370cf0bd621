"""How good a classifier is on rows whose labels have not come, from what it says of its own confidence.

Confidence-based performance estimation (NannyML, docs/how_it_works/performance_estimation.rst): with a calibrated
probability p of class c being true, a row adds p to cell [c, predicted] of the matrix of confusion. Every number is
that of the expected matrix; the area under the ROC curve is that of the expected pairs.

Blind to concept drift, by construction: a row is taken to be of a class as often as rows with this probability were
while the calibration was learned. Where the relation between inputs and labels moves, the estimate does not. Say so
wherever it is shown.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from sidecar.quality.calibration import FOLDS, Calibration, usable
from sidecar.stats.moments import Counts, Floats

NOTHING = 1e-12
"""A share of the traffic, or of its pairs, that is none: what is divided by less is undefined."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that labels will tell, as far as it is known without them.

    Args:
        value: NaN where it is undefined.
        deviation: The standard deviation of the realised number about `value`: labels are drawn at random given the
            probabilities, and the calibration was learned from a limited number of rows.
    """

    value: float
    deviation: float

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Where the realised number lies with this probability, within [0, 1]; nominal: for numbers that are normal."""
        reach = NormalDist().inv_cdf((1 + confidence) / 2) * self.deviation
        return (max(self.value - reach, 0.0), min(self.value + reach, 1.0)) if reach >= 0 else (math.nan, math.nan)


def expected_confusion(probabilities: Floats, predicted: Counts, calibration: Calibration, weights: Floats) -> Floats:
    """The weight of the rows of each label and each prediction, as expected, shape (C, C): [actual, predicted]."""
    kept = usable(probabilities, weights)
    mass = calibration(probabilities[kept]) * weights[kept, None]
    classes = probabilities.shape[1]
    return np.array([np.bincount(predicted[kept], mass[:, c], classes) for c in range(classes)])


def estimate(
    probabilities: Floats, predicted: Counts, calibration: Calibration, weights: Floats
) -> dict[str, Estimate]:
    """Accuracy; of two classes precision, recall, F1 and AUC of the second; of more the weighted forms of the three.

    Names and definitions are those of `classification`. Rows without probabilities or without weight are left out.

    Args:
        probabilities: What the model gave each class, not calibrated, shape (n, C).
        predicted: What it chose, shape (n,).
        weights: Rows that each stands for, shape (n,).

    Example:
        >>> told = estimate(np.array([[0.2, 0.8], [0.9, 0.1]]), np.array([1, 0]), Calibration(), np.ones(2))
        >>> [f"{name} {each.value:.2f} +- {each.deviation:.2f}" for name, each in told.items() if name != "auc"]
        ['accuracy 0.85 +- 0.25', 'precision 0.80 +- 0.40', 'recall 0.89 +- 0.30', 'f1 0.84 +- 0.28']
    """
    kept = usable(probabilities, weights)
    probabilities = probabilities[kept]
    shares = weights[kept] / weights[kept].max() if kept.any() else weights[kept]
    rows = _Rows(predicted[kept], shares, np.unique(probabilities[:, -1], return_inverse=True)[1])
    replicates = calibration.replicates(probabilities)
    told = rows.estimates(next(replicates))
    doubts = _doubts(told, [rows.values(replicate) for replicate in replicates])
    return {
        name: Estimate(each.value, math.hypot(each.deviation, doubts[name]) if len(probabilities) else math.nan)
        for name, each in told.items()
    }


def _doubts(told: Mapping[str, Estimate], replicates: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """How far off each number may be because the calibration is; 0 where nothing was learned."""
    if not replicates:
        return dict.fromkeys(told, 0.0)
    values = np.array([[replicate[name] for name in told] for replicate in replicates])
    # The delete-a-group jackknife (Kott, Journal of Official Statistics, 2001). Where the identity was kept, what the
    # curves would have said instead is in doubt too: a few hundred rows often take a bad model at its word.
    moved = values.mean(axis=0) - np.array([each.value for each in told.values()])
    doubts = np.sqrt(values.var(axis=0) * (FOLDS - 1) + moved**2)
    return dict(zip(told, doubts.tolist(), strict=True))


class _Number(NamedTuple):
    """A number with its derivatives by the expected hits and rows of each class, shape (C,)."""

    value: float
    by_hits: Floats
    by_actual: Floats


@dataclass(frozen=True, slots=True)
class _Rows:
    """n rows without labels.

    Args:
        predicted: Shape (n,), as the others.
        weights: Positive.
        places: The place of each row's probability of the last class among the distinct ones.
    """

    predicted: Counts
    weights: Floats
    places: Counts

    def values(self, p: Floats) -> dict[str, float]:
        """All numbers, if labels are drawn from p, shape (n, C)."""
        told = {name: each.value for name, each in self._numbers(p, _at(p, self.predicted)).items()}
        return told | {"auc": self._pairs(p[:, 1])[0]} if p.shape[1] == 2 else told

    def estimates(self, p: Floats) -> dict[str, Estimate]:
        """The same, with the deviations of the draw."""
        own = _at(p, self.predicted)
        numbers = self._numbers(p, own)
        hits = np.stack([each.by_hits for each in numbers.values()], axis=1)
        actual = np.stack([each.by_actual for each in numbers.values()], axis=1)
        # A label c adds `actual[c]` to a number, and `hits[c]` too where c was predicted.
        mean = p @ actual + own[:, None] * hits[self.predicted]
        square = p @ actual**2 + own[:, None] * (hits * (hits + 2 * actual))[self.predicted]
        deviations = np.sqrt(self.weights**2 @ np.maximum(square - mean**2, 0)).tolist()
        told = {
            name: Estimate(each.value, deviation)
            for (name, each), deviation in zip(numbers.items(), deviations, strict=True)
        }
        if p.shape[1] == 2:
            area, slope = self._pairs(p[:, 1])
            told["auc"] = Estimate(area, float(np.sqrt(slope**2 @ (p[:, 0] * p[:, 1]))))
        return told

    def _numbers(self, p: Floats, own: Floats) -> dict[str, _Number]:
        classes, total = p.shape[1], float(self.weights.sum())
        hits = np.bincount(self.predicted, own * self.weights, classes).astype(np.float64)
        chosen = np.bincount(self.predicted, self.weights, classes).astype(np.float64)
        actual: Floats = self.weights @ p
        hits, actual, chosen = (np.where(mass > NOTHING * total, mass, 0.0) for mass in (hits, actual, chosen))
        each, none = np.full(classes, _ratio(1.0, total)), np.zeros(classes)
        right = {"accuracy": _Number(_ratio(float(hits.sum()), total), each, none)}
        if classes == 2:
            return right | _binary(hits, actual, chosen)
        return right | {"weighted_recall": right["accuracy"]} | _weighted(hits, actual, chosen)

    def _pairs(self, p: Floats) -> tuple[float, Floats]:
        """The share of expected pairs of a positive and a negative in which the positive has more: the expected AUC.

        And its derivatives by each p, shape (n,).
        """
        positive, negative = self.weights * p, self.weights * (1 - p)
        positives, negatives = np.bincount(self.places, positive), np.bincount(self.places, negative)
        # A tie counts for half, and a row is no pair with itself.
        below = (np.cumsum(negatives) - negatives / 2)[self.places] - negative / 2
        above = (positives.sum() - np.cumsum(positives) + positives / 2)[self.places] - positive / 2
        pairs = positives.sum() * negatives.sum() - positive @ negative
        if not pairs > NOTHING * self.weights.sum() ** 2:
            return math.nan, np.full(p.shape, np.nan)
        area = min(float(positive @ below / pairs), 1.0)
        others = (negatives.sum() - negative) - (positives.sum() - positive)
        return area, self.weights * (below - above - area * others) / pairs


def _binary(hits: Floats, actual: Floats, chosen: Floats) -> dict[str, _Number]:
    """Of the second class; NaN where there is nothing to divide by."""
    second, none = np.array([0.0, 1.0]), np.zeros(2)
    hit, positives, alarms = float(hits[1]), float(actual[1]), float(chosen[1])
    recall, f1 = _ratio(hit, positives), _ratio(2 * hit, alarms + positives)
    return {
        "precision": _Number(_ratio(hit, alarms), second * _ratio(1, alarms), none),
        "recall": _Number(recall, second * _ratio(1, positives), -second * _ratio(recall, positives)),
        "f1": _Number(f1, second * _ratio(2, alarms + positives), -second * _ratio(f1, alarms + positives)),
    }


def _weighted(hits: Floats, actual: Floats, chosen: Floats) -> dict[str, _Number]:
    """Means over the classes by the rows of each; a class that is never predicted counts as of precision 0."""
    total, both = float(actual.sum()), chosen + actual
    precision, f1 = _over(hits, chosen), _over(2 * hits, both)
    shares = actual * _ratio(1, total)
    return {
        "weighted_precision": _Number(float(shares @ precision), _over(shares, chosen), precision * _ratio(1, total)),
        "weighted_f1": _Number(
            float(shares @ f1), _over(2 * shares, both), f1 * _ratio(1, total) - _over(shares * f1, both)
        ),
    }


def _at(p: Floats, columns: Counts) -> Floats:
    """One column of each row, shape (n,)."""
    return p[np.arange(len(p)), columns]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def _over(parts: Floats, wholes: Floats) -> Floats:
    return np.divide(parts, wholes, out=np.zeros_like(parts), where=wholes > 0)
