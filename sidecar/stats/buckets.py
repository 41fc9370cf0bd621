"""Reading of exponential histograms: quantiles, shares below a limit, and a histogram of equal widths to show."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sidecar.stats.moments import Counts, Floats

MAX_SCALE = 20
MAX_SIZE = 160
"""OpenTelemetry's defaults for scale and for the buckets of either sign."""

ROW = 2 * MAX_SIZE + 1
"""Buckets of a feature in ascending order: negative ones, zero, positive ones."""


@dataclass(frozen=True, slots=True)
class Exponential:
    """The exponential histograms of k features, at one moment; bucket i ends at 2^((offset + i + 1) * 2^-scale).

    Args:
        scale: Shape (k,), from -4 to MAX_SCALE.
        zeros: How many are 0, shape (k,).
        offsets: Index of the first bucket, of positive and of negative numbers, shape (2, k); 0 where there are none.
        counts: Shape (2, k, MAX_SIZE); negative numbers in the order of their magnitude.
        minimum: The least finite value, shape (k,); NaN without one.
        maximum: The greatest finite value, likewise.
    """

    scale: Counts
    zeros: Counts
    offsets: Counts
    counts: Counts
    minimum: Floats
    maximum: Floats

    def total(self) -> Counts:
        """How many numbers each feature has had, shape (k,)."""
        total: Counts = self.zeros + self.counts.sum(axis=(0, 2))
        return total

    def quantiles(self, ratios: Sequence[float]) -> Floats:
        """The values of rank ceil(ratio * n), about, shape (k, len(ratios)); NaN without numbers.

        The bucket is the right one and the place in it is interpolated in the logarithm: off by a factor of at most
        2^(2^-scale), which is 1.044 for values over ten octaves and 1.0054 for values over one. The extremes are
        exact, as is a feature of one value. Subnormal numbers, which have no bucket, are exempt.
        """
        counts = self._ascending()
        below = np.cumsum(counts, axis=1)
        n = below[:, -1:]
        ranks = np.clip(np.ceil(np.asarray(ratios) * n), 1, np.maximum(n, 1))
        at = np.minimum((below[:, None, :] < ranks[:, :, None]).sum(axis=2), ROW - 1)
        lower, upper = (np.take_along_axis(bounds, at, axis=1) for bounds in self._bounds())
        inside = np.maximum(np.take_along_axis(counts, at, axis=1), 1)
        place = (ranks - np.take_along_axis(below, at, axis=1) + inside - 0.5) / inside
        ratio = np.divide(upper, lower, out=np.ones_like(upper), where=lower != upper)
        # Rounding may step over the greatest float; clipping brings it back.
        with np.errstate(over="ignore"):
            values = lower * ratio**place
        return np.where(n > 0, np.clip(values, self.minimum[:, None], self.maximum[:, None]), np.nan)

    def below(self, limits: Floats) -> Floats:
        """How many numbers are less than each limit, about; limits and result of shape (k, e).

        Exact at the ends of buckets and from the extremes on; inside a bucket numbers count as evenly spread.
        """
        counts = self._ascending()
        before = np.cumsum(counts, axis=1) - counts
        lower, upper = self._bounds()
        at = np.minimum((upper[:, None, :] < limits[:, :, None]).sum(axis=2), ROW - 1)
        lower, upper = np.take_along_axis(lower, at, axis=1), np.take_along_axis(upper, at, axis=1)
        # Halves, because the distance between -1e308 and 1e308 is not a number that there is.
        width = upper / 2 - lower / 2
        share = np.divide(limits / 2 - lower / 2, width, out=np.zeros_like(limits), where=width > 0)
        inside = np.take_along_axis(before, at, axis=1) + np.clip(share, 0, 1) * np.take_along_axis(counts, at, axis=1)
        return np.where(limits > self.maximum[:, None], self.total()[:, None], inside)

    def density(self, bins: int) -> tuple[Floats, Counts]:
        """Edges (k, bins + 1) of equal widths from minimum to maximum, and about how many numbers lie between.

        Counts add up to `total`. A feature of one value gets one unit of width around it; NaN edges without numbers.
        """
        n = self.total()[:, None]
        known = n > 0
        single = np.where(self.minimum == self.maximum, 0.5, 0.0)
        first = np.where(known, (self.minimum - single)[:, None], 0.0)
        last = np.where(known, (self.maximum + single)[:, None], 0.0)
        steps = np.arange(bins + 1) / bins
        edges = first * (1 - steps) + last * steps
        below = np.maximum.accumulate(np.rint(self.below(edges)), axis=1).astype(np.int64)
        below[:, :1], below[:, -1:] = 0, n
        return np.where(known, edges, np.nan), np.diff(below, axis=1)

    def _ascending(self) -> Counts:
        """The counts of each feature in ascending order of values, shape (k, ROW)."""
        positive, negative = self.counts
        return np.concatenate((negative[:, ::-1], self.zeros[:, None], positive), axis=1)

    def _bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper bounds of the buckets in ascending order, cut to the extremes, shape (k, ROW) each."""
        indices = self.offsets[:, :, None] + np.arange(MAX_SIZE + 1)
        # The bound above the greatest numbers is 2^1024; cutting to the maximum brings it back.
        with np.errstate(over="ignore"):
            positive, negative = np.exp2(np.ldexp(indices.astype(np.float64), -self.scale[:, None]))
        zero = np.zeros((len(self.zeros), 1))
        lower = np.concatenate((-negative[:, :0:-1], zero, positive[:, :-1]), axis=1)
        upper = np.concatenate((-negative[:, -2::-1], zero, positive[:, 1:]), axis=1)
        least, greatest = self.minimum[:, None], self.maximum[:, None]
        return np.clip(lower, least, greatest), np.clip(upper, least, greatest)
