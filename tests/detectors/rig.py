"""What the detectors' tests share."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import gammaln
from scipy.stats import norm

from sidecar.detectors.sequential import Sequential
from sidecar.detectors.tilts import LOCATIONS, SCALES
from sidecar.records import Table
from sidecar.reference.binning import Bins, bins_of
from sidecar.reference.learning import Learner
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Counts, Flags, Floats
from sidecar.stats.tally import Tally

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


def tally(*counts: Sequence[int], ordered: bool = True, missing: Sequence[int] | None = None) -> Tally:
    """Counts without numbers behind them: one list a feature."""
    rows = np.array(counts)
    k, bins = rows.shape
    unknown = np.full(k, np.nan)
    gone = np.zeros(k, dtype=np.int64) if missing is None else np.array(missing)
    sums, edges = np.full((k, bins), np.nan), np.full((k, bins - 1), np.nan)
    return Tally(rows, gone, np.full(k, ordered), sums=sums, new=unknown, edges=edges, std=unknown)


def bins_from(values: Floats, texts: Mapping[int, Cells] | None = None) -> Bins:
    """The bins of features called 0, 1, ..., as they are learned from these rows."""
    learner = Learner()
    learner.update(Table(tuple(map(str, range(values.shape[1]))), values, texts or {}))
    return bins_of(learner.profiles())
