"""A mean loss from few labels and many predictions, right whatever the predictions are worth.

Prediction-powered inference (Angelopoulos and others, arXiv 2301.09633) with power tuning (PPI++, 2311.01453): n rows
with their loss l and an estimate f of it, N rows with the estimate only, and

    value = mean_n(l) + t (mean_N(f) - mean_n(f))        t = cov(l, f) / ((1 + n / N) var(f)), within [0, 1]

which is without bias for any fixed t, and whose variance is that of l - t f over n, plus that of t f over N. With t = 0
it is the mean of the labels alone: an estimate that says nothing of the loss costs next to nothing.

The labels must be of rows drawn at random, or weighted back. Those that come first seldom are.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from sidecar.stats.moments import Flags, Floats

MIN_LABELS = 10
"""Below this many effective labels there is no deviation."""


@dataclass(frozen=True, slots=True)
class Powered:
    """A mean with how far it may be off; NaN where there are too few labels to say.

    Args:
        value: The mean loss.
        deviation: Its standard error.
        low: Of the interval.
        high: Likewise.
        tuning: t, from 0 (labels alone) to 1 (the estimate is taken at its word, and its mean error taken off).
    """

    value: float
    deviation: float
    low: float
    high: float
    tuning: float


@dataclass(frozen=True, slots=True)
class Labels:
    """n rows whose labels have come, all of shape (n,); rows that are not finite or without weight are left out.

    Args:
        loss: As it turned out to be.
        estimated: As it was expected to be.
        weights: Rows of the traffic that each stands for.
    """

    loss: Floats
    estimated: Floats
    weights: Floats


def powered(labels: Labels, estimated: Floats, weights: Floats, confidence: float = 0.95) -> Powered:
    """The mean loss over all of the traffic that both sets of rows were drawn from.

    Args:
        estimated: The expected loss of rows without labels, none of which is in `labels`, shape (N,).
        weights: Rows of the traffic that each stands for, shape (N,).
        confidence: Of the interval, in (0, 1). Student's t, with the degrees of freedom that the weights leave.

    Raises:
        ValueError: `confidence` is out of its range.

    Example:
        >>> loss = np.arange(100) % 4 / 4
        >>> labels = Labels(loss, loss + 0.1, np.ones(100))
        >>> told = powered(labels, np.full(10_000, 0.6), np.ones(10_000))
        >>> f"{told.value:.3f} from {told.low:.3f} to {told.high:.3f}, where labels alone say {labels.loss.mean():.3f}"
        '0.500 from 0.500 to 0.500, where labels alone say 0.375'
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: {confidence}, expected between 0 and 1")
    usable = np.isfinite(labels.loss) & np.isfinite(labels.estimated) & _positive(labels.weights)
    few = _Mean.of(labels.loss[usable], labels.estimated[usable], labels.weights[usable])
    usable = np.isfinite(estimated) & _positive(weights)
    many = _Mean.of(estimated[usable], estimated[usable], weights[usable])
    tuning = _tuning(few, many)
    value = few.loss + tuning * (many.loss - few.estimated) if tuning else few.loss
    if not few.rows >= MIN_LABELS:
        return Powered(value, math.nan, math.nan, math.nan, tuning)
    freedom = few.rows - (2 if tuning else 1)
    own = few.variance - 2 * tuning * few.covariance + tuning**2 * few.spread
    # The tuning was chosen by the same labels: that has cost them a degree of freedom.
    own *= (few.rows - 1) / freedom
    deviation = math.sqrt(max(own, 0.0) / few.rows + (tuning**2 * many.variance / many.rows if tuning else 0.0))
    reach = student((1 + confidence) / 2, freedom) * deviation
    return Powered(value, deviation, value - reach, value + reach, tuning)


@dataclass(frozen=True, slots=True)
class _Mean:
    """Weighted means of loss and estimate, their variances and covariance, and how many equal rows would tell as much.

    Args:
        rows: (sum w)^2 / sum w^2.
        loss: The mean of the loss.
        estimated: The mean of the estimate.
        variance: Of the loss, unbiased for equal weights; that of a row, so that a mean's is this over `rows`.
        spread: The same of the estimate.
    """

    rows: float
    loss: float
    estimated: float
    variance: float
    spread: float
    covariance: float

    @classmethod
    def of(cls, loss: Floats, estimated: Floats, weights: Floats) -> "_Mean":
        if not len(loss):
            return cls(0.0, *[math.nan] * 5)
        weights = weights / weights.max()
        shares = weights / weights.sum()
        rows = 1 / float(shares @ shares)
        (mean, off), (expected, doubt) = _centred(loss, shares), _centred(estimated, shares)
        if not rows > 1:
            return cls(rows, mean, expected, *[math.nan] * 3)
        # Of a mean of independent rows: the sum of squares of what it moves by without each (the jackknife's HC3, which
        # is a little too large: with unequal weights the unbiased forms are too small).
        off, doubt = (shares / (1 - shares) * each for each in (off, doubt))
        return cls(rows, mean, expected, *(float(x @ y) * rows for x, y in ((off, off), (doubt, doubt), (off, doubt))))


def _centred(values: Floats, shares: Floats) -> tuple[float, Floats]:
    """The mean, and what is left of each without it; of equal values nothing at all, not the error of rounding."""
    moved = values - values[0]
    mean = float(shares @ moved)
    return float(values[0]) + mean, moved - mean


def _positive(weights: Floats) -> Flags:
    positive: Flags = np.isfinite(weights) & (weights > 0)
    return positive


def _tuning(few: _Mean, many: _Mean) -> float:
    """The t of least variance; 0 where there is nothing to choose it by."""
    if not (few.rows >= MIN_LABELS and many.rows > 1):
        return 0.0
    noise = few.spread / few.rows + many.variance / many.rows
    return min(max(few.covariance / few.rows / noise, 0.0), 1.0) if noise > 0 else 0.0


def student(share: float, freedom: float) -> float:
    """The quantile of Student's t: Cornish and Fisher's expansion of the normal one, to 1e-3 from 8 degrees on.

    References:
        Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    z = NormalDist().inv_cdf(share)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))
