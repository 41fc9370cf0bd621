"""The rows of a window by bin, k features at once, and how far two of them are apart."""

from dataclasses import dataclass

import numpy as np

from sidecar.stats.moments import Counts, Flags, Floats


@dataclass(frozen=True, slots=True)
class Tally:
    """The rows of one window.

    Args:
        counts: Rows by bin, shape (k, B), missing values aside; in the order of the numbers where `ordered`.
        missing: Rows without a value, shape (k,).
        ordered: The features whose bins have an order: numbers. Shape (k,).
    """

    counts: Counts
    missing: Counts
    ordered: Flags

    @property
    def n(self) -> Counts:
        """Rows with a value, shape (k,)."""
        rows: Counts = self.counts.sum(axis=1)
        return rows

    @property
    def shares(self) -> Floats:
        """The share of the rows with a value in each bin, shape (k, B); NaN where there are no such rows."""
        return share(self.counts, self.n[:, None])


def share(part: Counts, whole: Counts) -> Floats:
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
