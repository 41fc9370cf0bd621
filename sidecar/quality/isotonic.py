"""Isotonic regression: of all functions that never fall, the one nearest to weighted points, by least squares.

Points of one x are taken together, then neighbours that fall are pooled into their mean until none does (pool adjacent
violators; Best and Chakravarti, Mathematical Programming 47, 1990): O(n log n) for the order, O(n) for the rest.
"""

from dataclasses import dataclass

import numpy as np

from sidecar.stats.moments import Flags, Floats


@dataclass(frozen=True, slots=True)
class Isotonic:
    """A function that never falls: straight between its knots, level before the first and behind the last.

    Args:
        x: The knots, ascending, shape (q,); none where there was nothing to learn from, and then it is NaN everywhere.
        y: Its values there, shape (q,).

    Example:
        >>> curve = fit(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.0, 1.0, 0.0, 1.0]), np.ones(4))
        >>> curve(np.array([0.0, 0.15, 0.2, 0.35, 9.0, np.nan])).round(9).tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0, nan]
    """

    x: Floats
    y: Floats

    def __call__(self, x: Floats) -> Floats:
        """Its values at `x`, of any shape; NaN at NaN."""
        if not len(self.x):
            return np.full(x.shape, np.nan)
        values: Floats = np.interp(x, self.x, self.y)
        return values


def fit(x: Floats, y: Floats, weights: Floats) -> Isotonic:
    """The isotonic regression of y on x, equal to scikit-learn's with `out_of_bounds="clip"`.

    Args:
        x: Shape (n,), as the others. Points with x or y not finite are left out.
        weights: Points without a positive, finite weight are left out too.
    """
    usable = np.isfinite(x) & np.isfinite(y) & np.isfinite(weights) & (weights > 0)
    if not usable.any():
        return Isotonic(np.empty(0), np.empty(0))
    order = np.argsort(x[usable], kind="stable")
    x, y, weights = x[usable][order], y[usable][order], weights[usable][order]
    # Shares of the greatest: their sums do not overflow, and none vanishes.
    weights = np.maximum(weights / weights.max(), 1e-300)
    starts = np.flatnonzero(np.append(True, x[1:] > x[:-1]))
    x = x[starts]
    weight = np.add.reduceat(weights, starts)
    level = _pool(np.add.reduceat(weights * y, starts) / weight, weight)
    ends = np.append(True, level[1:] != level[:-1])
    # Of a level stretch its two ends say all.
    knots: Flags = ends | np.append(ends[1:], True)
    return Isotonic(x[knots], level[knots])


def _pool(y: Floats, weights: Floats) -> Floats:
    """The values that never fall and are nearest to `y`, shape (n,); all weights positive."""
    # Whatever does not rise is one pool in the end. This, at once for all, leaves less than half of labels of 0 and 1.
    starts = np.flatnonzero(np.append(True, y[1:] > y[:-1]))
    weight = np.add.reduceat(weights, starts)
    mean = np.add.reduceat(weights * y, starts) / weight
    sizes = np.diff(np.append(starts, len(y)))
    pools: list[tuple[float, float, int]] = []
    for level, mass, size in zip(mean.tolist(), weight.tolist(), sizes.tolist(), strict=True):
        while pools and pools[-1][0] >= level:
            before, heavier, more = pools.pop()
            # As a step from one to the other, which keeps to what lies between them, also for weights of 1e-300.
            level += (before - level) * (heavier / (heavier + mass))  # noqa: PLW2901
            mass += heavier  # noqa: PLW2901
            size += more  # noqa: PLW2901
        pools.append((level, mass, size))
    levels, _, lengths = zip(*pools, strict=True)
    return np.repeat(levels, lengths)
