"""Which columns carry a change: chi-squared statistics over the bins of each, of the rows and of what they show.

Null behaviour: about chi-squared, hence its normal score about standard normal, where a bin has some five rows on each
side for `moved`, and LEAST_ROWS of them for `carriers`; others are put together, or left out.
"""

from dataclasses import dataclass

import numpy as np

from sidecar.quality.logistic import by_bin, effective_rows, known
from sidecar.stats.moments import Counts, Floats

LEAST_Z = 4.0
"""Of a carrier: one in 30,000 by chance, one in 1,000 among 30 columns."""

MOST_CARRIERS = 5

LEAST_ROWS = 10
"""Of a bin on each side, for its mean to be compared."""

PRIOR_ROWS = 10.0
"""With the variance of all rows that each bin's own is mixed with: a bin where all rows are alike is not certain."""

LEAST_EXPECTED = 5.0
"""Rows of a bin on the smaller side, below which it is put together with the others like it."""


@dataclass(frozen=True, slots=True)
class Side:
    """The n rows of the reference, or of now.

    Args:
        codes: Bins, from 0 on, shape (n, k).
        rest: What came more than was expected, shape (n,).
        weights: Adding up to 1, shape (n,).
    """

    codes: Counts
    rest: Floats
    weights: Floats


@dataclass(frozen=True, slots=True)
class Carrier:
    """A column along whose bins the relation has moved by different amounts.

    Args:
        column: Its position.
        share: Its part of all that the carriers tell; theirs add up to 1.
        z: Normal score of the chi-squared of its bins, with what the carriers before it tell taken out.
        bin: Where most of it lies.
        before: Mean of what came more than was expected, among the reference's rows in this bin; about 0.
        after: Among the rows of now.
    """

    column: int
    share: float
    z: float
    bin: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class _Means:
    """Of the rest, by column and bin, all of shape (k, B); NaN where a bin has too few rows.

    Args:
        mean: Itself.
        variance: Of the mean.
    """

    mean: Floats
    variance: Floats


def carriers(before: Side, after: Side, columns: int) -> tuple[Carrier, ...]:
    """The columns along which the rest has moved most unevenly, the one that tells most first.

    The column with the greatest chi-squared is named, the change of each of its bins is taken out of the rows of now,
    and the next one is sought: a column that only goes along with another is not named beside it. Empty where the rest
    moved alike everywhere, or by too little to tell where.

    Args:
        before: With `rest` cross-fitted.
        after: Of the same columns.
        columns: How many of the first ones may be named.
    """
    width = int(max(before.codes.max(initial=-1), after.codes.max(initial=-1))) + 1
    if not columns or not width:
        return ()
    reference, first = _means(before, columns, width), _means(after, columns, width)
    current, rest = first, after.rest
    found: dict[int, tuple[float, float, int]] = {}
    while len(found) < min(MOST_CARRIERS, columns):
        change, parts, freedom = _moves(reference, current)
        chi = parts.sum(axis=1)
        scores = normal_scores(chi, freedom)
        open_to = np.flatnonzero((scores >= LEAST_Z) & ~np.isin(np.arange(columns), list(found)))
        if not open_to.size:
            break
        best = int(open_to[np.argmax(chi[open_to] - freedom[open_to])])
        found[best] = float(chi[best] - freedom[best]), float(scores[best]), int(np.argmax(parts[best]))
        rest = rest - np.append(change[best], 0.0)[known(after.codes[:, best], width)]
        current = _means(Side(after.codes, rest, after.weights), columns, width)
    total = sum(told for told, _, _ in found.values())
    return tuple(
        Carrier(column, told / total, z, place, float(reference.mean[column, place]), float(first.mean[column, place]))
        for column, (told, z, place) in found.items()
    )


def moved(before: Side, after: Side) -> Floats:
    """Normal scores of the chi-squared between the rows of both, by column, shape (k,); NaN for one with a single bin.

    With the bins' shares p of m effective rows and q of n, the statistic is sum (p - q)^2 / (c (1/m + 1/n)), where c
    is the share among the rows of both together.
    """
    width = int(max(before.codes.max(initial=-1), after.codes.max(initial=-1))) + 1
    m, n = effective_rows(before.weights), effective_rows(after.weights)
    p, q = by_bin(before.codes, width, before.weights), by_bin(after.codes, width, after.weights)
    if not (width and m and n):
        return np.full(len(p), np.nan)
    both = (m * p + n * q) / (m + n)
    rare = both * min(m, n) < LEAST_EXPECTED
    p, q, both = (np.c_[np.where(rare, 0.0, each), (each * rare).sum(axis=1)] for each in (p, q, both))
    parts = np.divide((p - q) ** 2, both * (1 / m + 1 / n), out=np.zeros_like(both), where=both > 0)
    return normal_scores(parts.sum(axis=1), (both > 0).sum(axis=1) - 1)


def normal_scores(chi: Floats, freedom: Counts) -> Floats:
    """Standard normal numbers as improbable as these chi-squared ones (Wilson & Hilferty 1931); NaN without freedom.

    Example:
        >>> normal_scores(np.array([16.92, 3.84, 1.0]), np.array([9, 1, 0])).round(2)
        array([1.65, 1.67,  nan])
    """
    spread = 2 / (9 * np.maximum(freedom, 1))
    out: Floats = np.where(freedom > 0, (np.cbrt(chi / np.maximum(freedom, 1)) - 1 + spread) / np.sqrt(spread), np.nan)
    return out


def _means(side: Side, columns: int, width: int) -> _Means:
    codes = side.codes[:, :columns]
    weights, squares = by_bin(codes, width, side.weights), by_bin(codes, width, side.weights**2)
    sums = by_bin(codes, width, side.weights * side.rest)
    spreads = by_bin(codes, width, side.weights * side.rest**2)
    rows = np.divide(weights**2, squares, out=np.zeros_like(weights), where=squares > 0)
    judged = rows >= LEAST_ROWS
    mean = np.divide(sums, weights, out=np.full_like(sums, np.nan), where=judged)
    own = np.divide(spreads, weights, out=np.full_like(sums, np.nan), where=judged) - mean**2
    everything = float(side.weights @ side.rest**2) - float(side.weights @ side.rest) ** 2
    mixed = (rows * np.maximum(own, 0) + PRIOR_ROWS * everything) / (rows + PRIOR_ROWS)
    return _Means(mean, np.divide(mixed, rows, out=np.full_like(sums, np.nan), where=judged))


def _moves(reference: _Means, current: _Means) -> tuple[Floats, Floats, Counts]:
    """By how much each bin moved, its part of the column's chi-squared, both (k, B), and the freedom of that, (k,)."""
    change = current.mean - reference.mean
    variance = reference.variance + current.variance
    judged = np.isfinite(change) & (variance > 0)
    precision = np.divide(1.0, variance, out=np.zeros_like(change), where=judged)
    change = np.where(judged, change, 0.0)
    centre = (precision * change).sum(axis=1) / np.maximum(precision.sum(axis=1), np.finfo(np.float64).tiny)
    parts: Floats = precision * (change - centre[:, None]) ** 2
    return change, parts, judged.sum(axis=1) - 1
