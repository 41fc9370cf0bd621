"""The distance that the rows have moved on average: Wasserstein's of order 1, on bins."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from sidecar.detectors.verdict import beyond
from sidecar.records import Comparison
from sidecar.stats.moments import Floats
from sidecar.stats.tally import Tally, share


@dataclass(frozen=True, slots=True, kw_only=True)
class Wasserstein:
    """How far rows must be moved, in the reference's standard deviations, to turn one window into the other.

    W1 is the integral of |F - G|, F and G the two distribution functions. Counts and sums by bin give the integral of
    F - G over a bin exactly, and the sum of these integrals without their signs is told. It is at most W1, and W1
    itself where F - G does not change its sign inside a bin: after a shift, or any change that only raises, or only
    lowers, the numbers. What is told is never less than the shift of the mean.

    Proof. Let S(a, b] be the sum of the numbers in (a, b] by the number of rows, the integral of x dF there. By parts,

        integral of F over (a, b] = b F(b) - a F(a) - S(a, b],

    with a F(a) -> 0 for a -> -inf; and where b is inf, the integral of F - 1 = -(a F(a) - a) - (S(a, inf) - a). In the
    difference to G the ones cancel, so that with D = F - G at the edges, (x D)(+-inf) = 0 and s the difference of S,
    every bin has b D(b) - a D(a) - s. An integral without its sign is at most that of |F - G|.

    Assumes nothing. Without drift it is by chance 1.1 sqrt(1/n + 1/m) on average for normal numbers, 0.8 to 1.3 for
    other shapes, and 2.6 in one window of a hundred (simulated; more where the tails are so heavy that there is no
    variance): 100 rows are 0.1 away by nothing, the default wants 1,000. There is no verdict for categories, nor where
    the deviation is unknown or 0: a constant has no unit to measure in. An infinity counts as the outermost of the
    bins' edges.

    Args:
        threshold: Above it there is drift.
    """

    threshold: Annotated[float, Meta(ge=0)] = 0.1

    def check(self, reference: Tally, current: Tally) -> Comparison:
        """The distance of each feature of numbers."""
        with np.errstate(over="ignore", invalid="ignore"):
            distance = np.abs(_between(reference, current)).sum(axis=1) / reference.unit
        return beyond(distance, self.threshold)


def _between(reference: Tally, current: Tally) -> Floats:
    """The integral of F - G over each bin, F of the reference, G of the window; shape (k, B)."""
    gap = np.cumsum(reference.shares - current.shares, axis=1)[:, :-1]
    at_edges = np.where(np.isfinite(reference.edges), reference.edges, 0.0) * gap
    sums = share(reference.sums, reference.n[:, None]) - share(current.sums, current.n[:, None])
    return np.diff(at_edges, axis=1, prepend=0.0, append=0.0) - sums
