"""How well probabilities put what came true before what did not: ROC, precision and recall, and the areas below."""

import math
from dataclasses import dataclass

import numpy as np

from sidecar.stats.moments import Counts, Flags, Floats

POINTS = 200
"""Points of a curve that is told, at most; areas come from all of them."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The rows of a classifier by what it said of them, the most probable first; rows of equal probability are one.

    Args:
        probabilities: The m distinct ones, falling, shape (m,).
        hits: Weight of the rows at each for which it came true, shape (m,).
        misses: Of those for which it did not, shape (m,).
    """

    probabilities: Floats
    hits: Floats
    misses: Floats


@dataclass(frozen=True, slots=True)
class Curves:
    """Both curves from the highest threshold to the lowest; of at most 200 points, and of none where undefined.

    Args:
        false_positive_rates: Of ROC, from 0 to 1.
        true_positive_rates: Of ROC, shape as the former.
        precisions: At `recalls`; 1 before anything is found, as scikit-learn has it.
        recalls: From 0 to 1.
    """

    false_positive_rates: Floats
    true_positive_rates: Floats
    precisions: Floats
    recalls: Floats


def ranked(probabilities: Floats, came_true: Flags, weights: Floats) -> Ranking:
    """The ranking of n rows, all of shape (n,), without NaN."""
    order = np.argsort(-probabilities, kind="stable")
    falling = probabilities[order]
    starts = np.flatnonzero(np.diff(falling, prepend=np.inf))
    hits = np.where(came_true, weights, 0.0)[order]
    misses = np.where(came_true, 0.0, weights)[order]
    return Ranking(falling[starts], np.add.reduceat(hits, starts), np.add.reduceat(misses, starts))


def auc(ranking: Ranking) -> float:
    """The area under the ROC curve; NaN without hits or without misses.

    It is the probability that a row that came true ranks before one that did not, ties counting half (Mann and
    Whitney).
    """
    hits, misses = float(ranking.hits.sum()), float(ranking.misses.sum())
    if hits <= 0.0 or misses <= 0.0:
        return math.nan
    behind = misses - np.cumsum(ranking.misses) + ranking.misses / 2
    return min(float((ranking.hits / hits) @ (behind / misses)), 1.0)


def average_precision(ranking: Ranking) -> float:
    """The area under the curve of precision and recall, as steps: sum of (R_i - R_(i - 1)) P_i; NaN without hits."""
    hits = float(ranking.hits.sum())
    if hits <= 0.0:
        return math.nan
    return min(float((ranking.hits / hits) @ _precisions(ranking)), 1.0)


def curves(ranking: Ranking) -> Curves:
    """Both curves, thinned to points at even steps of their length (ROC) and of recall."""
    hits, misses = float(ranking.hits.sum()), float(ranking.misses.sum())
    none = np.empty(0)
    false, true, precisions, recalls = none, none, none, none
    if hits > 0.0:
        found = _shares(ranking.hits)
        told = _even(found)
        precisions, recalls = np.concatenate(([1.0], _precisions(ranking)))[told], found[told]
        if misses > 0.0:
            raised = _shares(ranking.misses)
            told = _even(found + raised)
            false, true = raised[told], found[told]
    return Curves(false, true, precisions, recalls)


def _precisions(ranking: Ranking) -> Floats:
    """The share of hits in all rows down to each probability; 0 before the first row that weighs anything."""
    hits = np.cumsum(ranking.hits)
    rows = hits + np.cumsum(ranking.misses)
    precisions: Floats = np.divide(hits, rows, out=np.zeros_like(hits), where=rows > 0)
    return precisions


def _shares(weights: Floats) -> Floats:
    """The share of all that is above each threshold: from 0 to 1, whatever sums are rounded to."""
    above = np.cumsum(weights)
    return np.concatenate(([0.0], above / above[-1]))


def _even(progress: Floats) -> Counts:
    """The places of at most 200 points of a rising run: its ends, and the first at or behind each even step."""
    if progress.size <= POINTS:
        return np.arange(progress.size)
    steps = np.linspace(progress[0], progress[-1], POINTS - 1)
    places = np.searchsorted(progress, steps)
    return np.unique(np.append(places, progress.size - 1))
