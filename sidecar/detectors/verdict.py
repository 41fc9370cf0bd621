"""From a statistic to a verdict."""

import numpy as np

from sidecar.records import Comparison
from sidecar.stats.moments import Floats


def beyond(statistic: Floats, limit: float) -> Comparison:
    """The comparison of a detector that knows no p-value: it drifts where the statistic is above the limit."""
    unknown = np.full(statistic.shape, np.nan)
    return Comparison(statistic, np.full(statistic.shape, limit), unknown, statistic > limit)


def unlikely(statistic: Floats, p_value: Floats, alpha: float) -> Comparison:
    """The comparison of a test: it drifts where the p-value is below `alpha`, which stands in for a limit."""
    return Comparison(statistic, np.full(statistic.shape, np.nan), p_value, p_value < alpha)
