"""Counts and moments of k features at once, mergeable in any order.

Mean and deviation merge as Chan, Golub and LeVeque do it ("Updating formulae and a pairwise algorithm for computing
sample variances", 1979), with one change: what is kept is the standard deviation and not the sum of squares, which
overflows for values from 1e154 on and vanishes for values below 1e-154.
"""

from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]
Units = NDArray[np.uint64]

MIN_NORMAL_EXPONENT = -1022


ARRAYS = ("count", "infinite", "integral", "maximum", "mean", "minimum", "negatives", "std", "zeros")


class Moments:
    """What is known of k features after any number of rows, without the rows.

    `count` holds the finite numbers; NaN is nothing, and infinities are counted in `infinite` and kept out of
    everything else. Where `count` is 0, `mean` and `std` are 0 and the extremes are (inf, -inf): who shows them
    turns them into NaN.

    Attributes:
        rows: Rows seen, whatever was in them.
        count: Finite numbers, shape (k,) as all that follow.
        infinite: Infinities of either sign.
        zeros: Numbers equal to 0.
        negatives: Finite numbers below 0.
        integral: Finite numbers without a fraction.
        mean: Of the finite numbers, as the others.
        std: Standard deviation of the population (ddof = 0).
        minimum: The least.
        maximum: The greatest.
    """

    __slots__ = (*ARRAYS, "rows")

    def __init__(self, k: int) -> None:
        self.rows = 0
        self.count: Counts
        self.infinite: Counts
        self.zeros: Counts
        self.negatives: Counts
        self.integral: Counts
        self.count, self.infinite, self.zeros, self.negatives, self.integral = np.zeros((5, k), dtype=np.int64)
        self.mean: Floats = np.zeros(k)
        self.std: Floats = np.zeros(k)
        self.minimum: Floats = np.full(k, np.inf)
        self.maximum: Floats = np.full(k, -np.inf)

    @classmethod
    def of(cls, values: Floats) -> Self:
        """The moments of the rows of one batch, shape (n, k), in two passes."""
        columns = np.ascontiguousarray(values.T)
        self = cls(len(columns))
        self.rows = len(values)
        if not columns.size:
            return self
        flags = np.empty((5, *columns.shape), dtype=np.bool_)
        finite = np.isfinite(columns, out=flags[0])
        np.isinf(columns, out=flags[1])
        if not finite.all():
            columns = np.where(finite, columns, np.nan)
        np.equal(columns, 0, out=flags[2])
        np.less(columns, 0, out=flags[3])
        np.equal(columns, np.floor(columns), out=flags[4])
        tallies = np.count_nonzero(flags, axis=2)
        self.count, self.infinite, self.zeros, self.negatives, self.integral = tallies
        self.minimum = np.where(finite, columns, np.inf).min(axis=1)
        self.maximum = np.where(finite, columns, -np.inf).max(axis=1)
        self._settle(columns, finite)
        return self

    def _settle(self, columns: Floats, finite: Flags) -> None:
        """Mean and deviation of the batch, whose counts and extremes are known; NaN where not `finite`.

        Values are scaled by a power of two, which is exact, to magnitudes below 2, so that no sum or square overflows.
        The second pass corrects the first one's mean by what its rounding left.
        """
        known = self.count > 0
        size = np.where(known, np.maximum(np.abs(self.minimum), np.abs(self.maximum)), 1.0)
        exponent = np.maximum(np.frexp(size)[1] - 1, MIN_NORMAL_EXPONENT)
        scaled = np.where(finite, columns * np.ldexp(1.0, -exponent)[:, None], 0.0)
        n = np.maximum(self.count, 1)
        mean = scaled.sum(axis=1) / n
        rest = np.where(finite, scaled - mean[:, None], 0.0)
        correction = rest.sum(axis=1) / n
        variance = np.einsum("ij,ij->i", rest, rest) / n
        unit = np.ldexp(1.0, exponent)
        constant = self.minimum >= self.maximum
        self.mean = np.where(known, np.clip((mean + correction) * unit, self.minimum, self.maximum), 0.0)
        self.std = np.where(constant, 0.0, np.sqrt(variance) * unit)

    def copy(self) -> Self:
        """The same moments, which change no more when these do."""
        copy = type(self)(0)
        copy.rows = self.rows
        for name in ARRAYS:
            setattr(copy, name, getattr(self, name).copy())
        return copy

    def update(self, values: Floats) -> None:
        """Add the rows of one batch, shape (n, j) with j <= k: the first j features."""
        self.merge(self.of(values))

    def merge(self, other: "Moments") -> None:
        """Add what another has seen of the first features; as if its rows had come here."""
        k = other.mean.size
        before, after = self.count[:k], other.count
        n = np.maximum(before + after, 1)
        old, new = before / n, after / n
        # Half the distance, twice: the distance itself overflows between -1e308 and 1e308.
        half = other.mean / 2 - self.mean[:k] / 2
        within = np.hypot(self.std[:k] * np.sqrt(old), other.std * np.sqrt(new))
        self.std[:k] = np.hypot(within, half * (2 * np.sqrt(old * new)))
        mean = self.mean[:k] + half * new + half * new
        self.minimum[:k] = np.minimum(self.minimum[:k], other.minimum)
        self.maximum[:k] = np.maximum(self.maximum[:k], other.maximum)
        self.count[:k] += other.count
        self.infinite[:k] += other.infinite
        self.zeros[:k] += other.zeros
        self.negatives[:k] += other.negatives
        self.integral[:k] += other.integral
        self.mean[:k] = np.where(self.count[:k] > 0, np.clip(mean, self.minimum[:k], self.maximum[:k]), 0.0)
        self.rows += other.rows
