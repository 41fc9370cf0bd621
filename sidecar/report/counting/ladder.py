"""The cells over which a column of numbers is counted: all that is told of it can be added up from them.

They end wherever anything changes: at the edges of the reference's bins, at those of ten buckets of equal width, around
zero, before the infinities, and where a number is so far away that something is wrong with it.
"""

from typing import NamedTuple

import numpy as np

from sidecar.monitors.faults import reach
from sidecar.reference.binning import Bins
from sidecar.report.counting.questions import Survey
from sidecar.stats.moments import MIN_NORMAL_EXPONENT, Counts, Flags, Floats

BUCKETS = 10
"""Of a column's histogram: as many as SageMaker has."""

_TINY, _HUGE = float(np.nextafter(0.0, -1.0)), float(np.finfo(np.float64).max)


class Ladder(NamedTuple):
    """The cells of a column of numbers, and what each of them is.

    Args:
        edges: Shape (c - 1,), ascending.
        bins: The reference's bin, shape (c,), as all that follow.
        ends: What an infinity counts for in a sum.
        far: Beyond the column's reach.
        buckets: The bucket of the histogram.
        finite: Of numbers.
        zero: Of zeros.
        negative: Of finite numbers below zero.
        widths: The ends of the buckets, shape (BUCKETS + 1,).
    """

    edges: Floats
    bins: Counts
    ends: Floats
    far: Flags
    buckets: Counts
    finite: Flags
    zero: Flags
    negative: Flags
    widths: Floats


def ladder_of(bins: Bins, column: int, survey: Survey) -> Ladder:
    """The cells of a column.

    Args:
        column: Of the bins; -1 for one that is not the reference's.
        survey: Of its numbers.
    """
    own, default, low, high = _cuts(bins, column)
    widths = _widths(survey.low, survey.high)
    far = [np.nextafter(low, -np.inf)] if np.isfinite(low) else []
    far += [high] if np.isfinite(high) else []
    edges = np.unique(np.concatenate([own, widths[1:-1], far, [-np.inf, _TINY, 0.0, _HUGE]]))
    edges = edges[~np.isnan(edges)]
    upper, lower = np.append(edges, np.inf), np.insert(edges, 0, -np.inf)
    finite = (upper > -np.inf) & (lower < _HUGE)
    first, last = (own[0], own[-1]) if len(own) else (0.0, 0.0)
    ends = np.where(upper > 0, last, first)
    return Ladder(
        edges=edges,
        bins=default + np.searchsorted(own, upper),
        ends=np.where(np.isfinite(ends), ends, 0.0),
        far=(upper < low) | (lower >= high),
        buckets=np.searchsorted(widths[1:-1], upper),
        finite=finite,
        zero=upper == 0.0,
        negative=finite & (upper < 0.0),
        widths=widths,
    )


def _cuts(bins: Bins, column: int) -> tuple[Floats, int, float, float]:
    """The edges of a column's bins, the bin below them, and its reach; nothing of one that is not the reference's."""
    if column < 0:
        return np.empty(0), 0, np.nan, np.nan
    low, high = reach(bins, column)
    if bins.numeric[column]:
        return bins.edges[column][bins.edges[column] < np.inf], 0, low, high
    other, new = int(bins.other[column]), int(bins.new[column])
    return np.empty(0), other if other >= 0 else new, low, high


def _widths(low: float, high: float) -> Floats:
    """The ends of the buckets, of equal width; the halves first, since the width between ±1e308 is no number."""
    steps = np.arange(BUCKETS + 1) / BUCKETS
    widths: Floats = np.maximum.accumulate(np.clip(low * (1 - steps) + high * steps, low, high))
    return widths


def unit_of(survey: Survey) -> tuple[float, float]:
    """A power of two that brings the numbers below 2, and about their mean in it: their squares are numbers too."""
    if np.isnan(survey.low):  # infinities only
        return 1.0, 0.0
    size = max(abs(survey.low), abs(survey.high))
    exponent = max(int(np.frexp(size)[1]) - 1, MIN_NORMAL_EXPONENT) if size else 0
    middle = survey.mean if survey.low <= survey.mean <= survey.high else survey.low / 2 + survey.high / 2
    factor = float(np.ldexp(1.0, -exponent))
    return factor, middle * factor
