"""The rows of a window by bin, k features at once, and how far two of them are apart."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from sidecar.stats.moments import Counts, Flags, Floats

RESOLUTION = 1e-10
"""Of a mean: a standard deviation below it drowns in the rounding of the sums."""


class Counted(NamedTuple):
    """Rows by bin, the bin of missing values among them; what windows are sums of.

    Args:
        counts: Rows, shape (k, B + 1).
        sums: Of their numbers, shape (k, B + 1); 0 for texts and missing values.
    """

    counts: Counts
    sums: Floats

    @classmethod
    def nothing(cls, shape: tuple[int, ...]) -> "Counted":
        """No row yet, of so many features and bins."""
        return cls(np.zeros(shape, dtype=np.int64), np.zeros(shape))

    def plus(self, other: "Counted") -> "Counted":
        """The rows of both; `+` would put one behind the other."""
        with np.errstate(over="ignore", invalid="ignore"):
            return Counted(self.counts + other.counts, self.sums + other.sums)


@dataclass(frozen=True)
class Tally:
    """The rows of one window, and of the bins what two windows have in common.

    Args:
        counts: Rows by bin, shape (k, B), missing values aside; in the order of the numbers where `ordered`.
        missing: Rows without a value, shape (k,).
        ordered: The features whose bins have an order: numbers. Shape (k,).
        sums: Of the numbers in each bin, shape (k, B).
        new: Rows with a text that the reference never had, shape (k,); NaN where nobody can tell.
        edges: Between the bins of numbers, ascending, shape (k, B - 1); inf behind the last one, all NaN for texts.
        std: Standard deviation of the reference's numbers, shape (k,); NaN where it is not known.
    """

    counts: Counts
    missing: Counts
    ordered: Flags
    sums: Floats
    new: Floats
    edges: Floats
    std: Floats

    @cached_property
    def n(self) -> Counts:
        """Rows with a value, shape (k,)."""
        rows: Counts = self.counts.sum(axis=1)
        return rows

    @cached_property
    def shares(self) -> Floats:
        """The share of the rows with a value in each bin, shape (k, B); NaN where there are no such rows."""
        return share(self.counts, self.n[:, None])

    @cached_property
    def mean(self) -> Floats:
        """Of the numbers, shape (k,); NaN where there are none, and for texts."""
        with np.errstate(over="ignore", invalid="ignore"):
            mean: Floats = np.where(self.ordered, share(self.sums.sum(axis=1), self.n), np.nan)
        return mean

    @cached_property
    def unit(self) -> Floats:
        """The standard deviation to measure shifts in, shape (k,); NaN where it is not known, or 0 but for rounding."""
        known = np.isfinite(self.std) & (self.std > RESOLUTION * np.abs(self.mean))
        unit: Floats = np.where(known, self.std, np.nan)
        return unit


def share(part: Counts | Floats, whole: Counts) -> Floats:
    """Part / whole; NaN where `whole` is 0."""
    shape = np.broadcast_shapes(part.shape, whole.shape)
    ratio: Floats = np.divide(part, whole, out=np.full(shape, np.nan), where=whole > 0)
    return ratio


def greatest_distance(reference: Tally, current: Tally) -> Floats:
    """Max |F1 - F2| at the bins' edges for numbers, max |p1 - p2| for categories; shape (k,)."""
    gap = current.shares - reference.shares
    gap = np.where(reference.ordered[:, None], np.cumsum(gap, axis=1), gap)
    distance: Floats = np.abs(gap).max(axis=1)
    return distance


def chance(n: Counts, m: Counts) -> Floats:
    """sqrt((n + m) / (n m)): how far chance alone takes two windows of n and m rows apart, but for a factor."""
    ratio: Floats = np.sqrt((n + m) / np.maximum(n * m, 1))
    return ratio
