"""What the sequential detector's tests share."""

import itertools
import math

import numpy as np
from scipy.special import gammaln
from scipy.stats import norm

from sidecar.detectors.sequential import Sequential
from sidecar.detectors.tilts import LOCATIONS, SCALES
from sidecar.stats.moments import Counts, Flags, Floats

GAUSSIAN = len(SCALES) + 2 * len(LOCATIONS)


def build(
    reference: Counts,
    ordered: Flags | None = None,
    used: Flags | None = None,
    *,
    false_alarms_per: float = 1e6,
    tolerance: float = 0.005,
) -> Sequential:
    """A detector of these reference counts, shape (k, B) or (B,); every bin is a number's unless told otherwise."""
    reference = np.atleast_2d(reference)
    full = np.ones(reference.shape, dtype=np.bool_)
    return Sequential(
        reference=reference,
        ordered=full if ordered is None else ordered,
        used=full if used is None else used,
        false_alarms_per=false_alarms_per,
        tolerance=tolerance,
    )


def equal_bins(m: int = 10_000, bins: int = 10, k: int = 1) -> Counts:
    return np.full((k, bins), m // bins)


def shifted(shift: float, bins: int = 10, scale: float = 1.0) -> Floats:
    edges = norm.ppf(np.arange(1, bins) / bins)
    return np.diff(np.r_[0, norm.cdf((edges - shift) / scale), 1])


def polya(counts: Counts, alpha: Floats) -> float:
    """The probability of a batch's counts, any order of its rows."""
    n, a = counts.sum(), alpha.sum()
    ways = gammaln(n + 1) - gammaln(counts + 1).sum()
    return math.exp(ways + gammaln(a) - gammaln(a + n) + (gammaln(alpha + counts) - gammaln(alpha)).sum())


def batches_of(n: int, bins: int) -> list[Counts]:
    return [np.array(c) for c in itertools.product(range(n + 1), repeat=bins) if sum(c) == n]
