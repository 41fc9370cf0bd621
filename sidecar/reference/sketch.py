"""What a KLL sketch retains, as values: ranks and quantiles of a feature with bounded memory.

Karnin, Lang and Liberty, "Optimal quantile approximation in streams", FOCS 2016. Level i holds items that stand for
2^i numbers each. SageMaker's statistics.json carries the levels, and so do we.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np

from sidecar.stats.moments import Counts, Floats

C = 0.64
"""By how much the capacity of a level falls against the next higher one; SageMaker's value (Deequ's default)."""

BUCKETS = 10
"""Of equal width, in statistics.json."""


@dataclass(frozen=True)
class Sketch:
    """The sketch of one feature's numbers.

    Args:
        k: Capacity of the highest level.
        levels: The items by level; an item of level i stands for 2^i numbers.
        c: See C.

    Example:
        >>> sketch = Sketch(k=8, levels=([1.0], [2.0, 3.0]))
        >>> sketch.n, sketch.quantiles([0.0, 0.5, 1.0]).tolist(), sketch.ranks(np.array([0.0, 2.0])).tolist()
        (5, [1.0, 2.0, 3.0], [0.0, 0.6])
    """

    k: float
    levels: Sequence[Sequence[float]]
    c: float = C

    @cached_property
    def _ascending(self) -> tuple[Floats, Counts]:
        """The items in ascending order, and how many numbers are not above each; both of shape (r,)."""
        items = np.concatenate([np.asarray(level, dtype=np.float64) for level in self.levels] or [np.empty(0)])
        weights = np.concatenate([np.full(len(level), 1 << i) for i, level in enumerate(self.levels)] or [np.empty(0)])
        order = np.argsort(items, kind="stable")
        return items[order], np.cumsum(weights[order]).astype(np.int64)

    @property
    def n(self) -> int:
        """How many numbers it stands for."""
        _, below = self._ascending
        return int(below[-1]) if len(below) else 0

    @property
    def rank_error(self) -> float:
        """By how much a rank is wrong at most, as a share of the numbers, at 99 % confidence; 0 where all are held.

        The fit that Apache DataSketches publishes for its sketches, KllSketch.getNormalizedRankError.
        """
        return 2.296 / self.k**0.9723 if any(self.levels[1:]) else 0.0

    def ranks(self, values: Floats) -> Floats:
        """The share of numbers that are not above each of `values`, of their shape; NaN without numbers."""
        items, below = self._ascending
        if not len(items):
            return np.full(np.shape(values), np.nan)
        at = np.searchsorted(items, values, side="right")
        shares: Floats = np.concatenate(([0], below))[at] / below[-1]
        return shares

    def quantiles(self, ratios: Sequence[float]) -> Floats:
        """The items of rank ceil(ratio * n), shape (len(ratios),); NaN without numbers."""
        items, below = self._ascending
        if not len(items):
            return np.full(len(ratios), np.nan)
        ranks = [max(1, ceil(ratio * int(below[-1]))) for ratio in ratios]
        return items[np.minimum(np.searchsorted(below, ranks), len(items) - 1)]

    def sums(self, edges: Floats) -> Floats:
        """The sums of the numbers up to the first edge, above it and up to the second, and so on.

        Args:
            edges: Ascending, shape (j,).

        Returns:
            Shape (j + 1,); infinite where the numbers are too large to be added.
        """
        items, below = self._ascending
        with np.errstate(over="ignore"):
            worth = items * np.diff(below, prepend=0)
        sums = np.bincount(np.searchsorted(edges, items), weights=worth, minlength=len(edges) + 1)
        return np.asarray(sums, dtype=np.float64)

    def buckets(self) -> tuple[Floats, Counts]:
        """Edges of BUCKETS bins of equal width from the least item to the greatest, and about how many are in each.

        A bin holds what is above its lower edge and not above its upper one; the first holds its lower edge too.

        Returns:
            Shape (BUCKETS + 1,) and (BUCKETS,); empty without numbers.
        """
        items, below = self._ascending
        if not len(items):
            return np.empty(0), np.empty(0, dtype=np.int64)
        # The halves first: the width itself overflows between -1e308 and 1e308.
        steps = np.arange(BUCKETS + 1) / BUCKETS
        edges = np.clip(items[0] * (1 - steps) + items[-1] * steps, items[0], items[-1])
        edges = np.maximum.accumulate(edges)  # as rounding may have it
        up_to = np.concatenate(([0], below))[np.searchsorted(items, edges, side="right")]
        up_to[0] = 0
        return edges, np.diff(up_to)
