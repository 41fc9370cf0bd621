"""How often a class is true by the probability that a model gives it: learned from rows whose labels have come.

Class by class, one against the rest, by a mean of two curves: the isotonic regression, which takes any shape, but
flatters (its own ROC curve is the convex hull of the real one) and needs many rows; and a logistic curve of few
parameters, drawn towards the identity, which may jump at one half, where choices are made.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Self

import numpy as np

from sidecar.quality.isotonic import fit
from sidecar.stats.moments import Counts, Flags, Floats

FOLDS = 10
"""Each row is held out once. The curves without a fold each are also the replicates of a jackknife."""

GOLDEN = (5**0.5 - 1) / 2
"""Row i is in the fold of the fraction of i times this: even, but in step with no period of the traffic."""

MIN_ROWS, MIN_OF_EACH = 200, 10
"""Below these numbers of rows, and of rows of a class and of all others, the model's own probabilities stand."""

BINS = 10
"""Of equal numbers of rows, for the expected calibration error."""

LEAST = 1e-4
"""Probabilities nearer to 0 or 1 count as that near in the logistic curve: a few of exactly 0 must not bend all."""

ISOTONIC_SHARE = 1 / 3
"""In the mean of the two curves. In simulations of few and many rows it is seldom the best, and never far from it."""

PRIOR_DEVIATION, STEP_DEVIATION = 2.0, 0.25
"""In logits, of each parameter of the logistic curve, and of its step at one half: with 1 for the first, the AUC of a
model too sure of itself stays too high; with more for the second, few labels make a jump of nothing."""

HINGES = (0.3, 0.6, 0.9)
"""Ranks among the reference's probabilities where the logistic curve may bend."""

QUANTILES, LOGITS = 513, 65
"""Points at which a curve is kept: quantiles of what it was learned from, and even steps of the logit beyond them."""

MAX_STEP, MOST_STEPS = 3.0, 40
"""Logits by which a step of Newton's method may move any row, since from probabilities of 0.0001 a whole one goes
astray; and how many steps. It takes five to ten."""


@dataclass(frozen=True, slots=True)
class Curve:
    """How often a class is true by the probability that the model gives it; straight between its points.

    Args:
        x: Probabilities, ascending from 0 to 1, shape (q,).
        y: In the first row the curve, or the identity where that is better; then those without one fold of rows each,
            which tell how far chance has moved it. Shape (1 + FOLDS, q).
    """

    x: Floats
    y: Floats

    def read(self, p: Floats) -> Iterator[Floats]:
        """Its values at p, shape (n,), by each row of `y` in turn; NaN at NaN."""
        place = np.clip(np.searchsorted(self.x, p, side="right") - 1, 0, len(self.x) - 2)
        share = (p - self.x[place]) / (self.x[place + 1] - self.x[place])
        for y in self.y:
            yield np.clip((1 - share) * y[place] + share * y[place + 1], 0, 1)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Turns what a model says of its classes into how often they are true; the identity without curves.

    Args:
        curves: One for each class; of two classes for the second only; none where there was too little to learn from.

    Example:
        >>> p = np.linspace(0.01, 0.99, 1000)
        >>> actual = (np.arange(1000) * 0.377 % 1 < p**2).astype(np.int64)
        >>> calibration = Calibration.learn(np.column_stack((1 - p, p)), actual, np.ones(1000))
        >>> calibration(np.array([[0.4, 0.6], [0.2, 0.8]])).round(1).tolist()
        [[0.6, 0.4], [0.4, 0.6]]
    """

    curves: tuple[Curve | None, ...] = ()

    @classmethod
    def learn(cls, probabilities: Floats, actual: Counts, weights: Floats) -> Self:
        """Calibrate each class where that lessens the expected calibration error on rows held out.

        Args:
            probabilities: What the model gave each class, shape (n, C). Rows with NaN or numbers outside of [0, 1]
                are left out.
            actual: The class that was true, shape (n,).
            weights: Rows that each stands for, shape (n,).
        """
        kept = usable(probabilities, weights)
        probabilities, actual, weights = probabilities[kept], actual[kept], weights[kept]
        if not len(actual):
            return cls()
        # Together they weigh what as many equal rows would that tell as much, so that the prior counts for what it is.
        weights = weights / weights.max()
        weights *= weights.sum() / (weights**2).sum()
        classes = (1,) if probabilities.shape[1] == 2 else range(probabilities.shape[1])
        return cls(tuple(_learn(probabilities[:, c], (actual == c).astype(np.float64), weights) for c in classes))

    def __call__(self, probabilities: Floats) -> Floats:
        """The calibrated probabilities, shape (n, C), each row adding up to 1; NaN where a row has NaN."""
        return next(self.replicates(probabilities))

    def replicates(self, probabilities: Floats) -> Iterator[Floats]:
        """The calibrated probabilities, then, where anything was learned, those without each fold of its rows."""
        two = probabilities.shape[1] == 2
        columns = probabilities.T[1:] if two else probabilities.T
        curves = self.curves or (None,) * len(columns)
        times = 1 + FOLDS if any(curves) else 1
        pairs = zip(curves, columns, strict=True)
        for told in zip(*(curve.read(p) if curve else repeat(p, times) for curve, p in pairs), strict=True):
            # Where no class was ever true with so little said of each, the model keeps its word.
            yield np.column_stack((1 - told[0], told[0])) if two else _shares(np.column_stack(told), probabilities)


def _shares(rows: Floats, otherwise: Floats) -> Floats:
    """Rows made to add up to 1; of rows of zeros the other ones."""
    rows = np.where(rows.sum(axis=1, keepdims=True) > 0, rows, otherwise)
    total = rows.sum(axis=1, keepdims=True)
    shares: Floats = np.divide(rows, total, out=np.full(rows.shape, np.nan), where=total > 0)
    return shares


def usable(probabilities: Floats, weights: Floats) -> Flags:
    """Rows with a probability for each class and with a weight, shape (n,)."""
    inside = (probabilities >= 0) & (probabilities <= 1)
    some: Flags = inside.all(axis=1) & (probabilities > 0).any(axis=1) & np.isfinite(weights) & (weights > 0)
    return some


def _learn(p: Floats, true: Floats, weights: Floats) -> Curve | None:
    """The curve of one class; None with too few rows."""
    if len(p) < MIN_ROWS or min(true.sum(), len(p) - true.sum()) < MIN_OF_EACH:
        return None
    steps = _inverse_logit(np.linspace(_logit(np.zeros(1))[0], _logit(np.ones(1))[0], LOGITS))
    ranks = np.quantile(p, np.linspace(0, 1, QUANTILES))
    x = np.unique(np.concatenate(([0.0, np.nextafter(0.5, 0), 0.5, 1.0], steps, ranks)))
    fold = np.floor(np.arange(len(p)) * GOLDEN % 1 * FOLDS)
    y = np.empty((1 + FOLDS, len(x)))
    held_out = np.empty(len(p))
    for k in range(FOLDS):
        kept, out = fold != k, fold == k
        y[1 + k] = _curve(p[kept], true[kept], weights[kept], x)
        held_out[out] = np.interp(p[out], x, y[1 + k])
    better = _calibration_error(held_out, true, weights) < _calibration_error(p, true, weights)
    y[0] = _curve(p, true, weights, x) if better else x
    return Curve(x, y)


def _curve(p: Floats, true: Floats, weights: Floats, x: Floats) -> Floats:
    """The mean of isotonic regression and logistic curve, at `x`."""
    return ISOTONIC_SHARE * fit(p, true, weights)(x) + (1 - ISOTONIC_SHARE) * _logistic(p, true, weights, x)


def _logistic(p: Floats, true: Floats, weights: Floats, x: Floats) -> Floats:
    """A logistic curve at `x`: the logit as it is, and a penalised function of the rank and of p >= 1/2 added to it.

    Half is where a choice of two is made: with a step there, what is chosen and what is not come to be right on average
    each, as labels grow many (the residuals of a logistic regression are orthogonal to its terms).
    """
    ranks = np.unique(np.quantile(p, np.linspace(0, 1, 21)))
    terms = _terms(p, ranks)
    logits = _logit(p)
    parameters = np.zeros(terms.shape[1])
    penalty = np.append(np.full(len(parameters) - 1, PRIOR_DEVIATION), STEP_DEVIATION) ** -2.0
    for _ in range(MOST_STEPS):
        fitted = _inverse_logit(logits + terms @ parameters)
        slope = terms.T @ (weights * (true - fitted)) - penalty * parameters
        bend = (terms.T * (weights * fitted * (1 - fitted))) @ terms + np.diag(penalty)
        step = np.linalg.solve(bend, slope)
        reach = float(np.abs(terms @ step).max())
        parameters += step * min(1.0, MAX_STEP / max(reach, MAX_STEP))
        if reach < 1e-6:
            break
    return _inverse_logit(_logit(x) + _terms(x, ranks) @ parameters)


def _terms(p: Floats, ranks: Floats) -> Floats:
    rank = np.interp(p, ranks, np.linspace(0, 1, len(ranks)))
    hinges = [np.maximum(rank - hinge, 0) for hinge in HINGES]
    return np.column_stack((np.ones(len(p)), rank, *hinges, p >= 0.5))


def _logit(p: Floats) -> Floats:
    p = np.clip(p, LEAST, 1 - LEAST)
    return np.log(p) - np.log1p(-p)


def _inverse_logit(logits: Floats) -> Floats:
    return 0.5 + 0.5 * np.tanh(logits / 2)


def _calibration_error(p: Floats, true: Floats, weights: Floats) -> float:
    """The expected calibration error: the mean over bins of how far p and truth are apart, by weight."""
    order = np.argsort(p, kind="stable")
    gaps = (weights * (p - true))[order]
    return float(sum(abs(gap.sum()) for gap in np.array_split(gaps, BINS)) / weights.sum())
