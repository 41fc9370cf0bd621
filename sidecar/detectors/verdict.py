"""From a statistic to a verdict."""

import numpy as np

from sidecar.detectors.combining import benjamini_hochberg
from sidecar.records import Comparison
from sidecar.stats.moments import Floats


def beyond(statistic: Floats, limit: float) -> Comparison:
    """The comparison of a detector that knows no p-value: it drifts where the statistic is above the limit."""
    unknown = np.full(statistic.shape, np.nan)
    return Comparison(statistic, np.full(statistic.shape, limit), unknown, statistic > limit)


def unlikely(statistic: Floats, p_value: Floats, alpha: float) -> Comparison:
    """The comparison of a test, whose p-values stand in for a limit: it drifts where Benjamini and Hochberg say so.

    Args:
        alpha: Of the false discovery rate over the features that have a p-value.
    """
    return Comparison(statistic, np.full(statistic.shape, np.nan), p_value, benjamini_hochberg(p_value, alpha))
