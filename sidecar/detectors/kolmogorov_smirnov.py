"""The two-sample test of Kolmogorov and Smirnov, on bins."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from sidecar.detectors.tails import kolmogorov_tail
from sidecar.detectors.verdict import unlikely
from sidecar.records import Comparison
from sidecar.stats.tally import Tally, chance, greatest_distance


@dataclass(frozen=True, slots=True, kw_only=True)
class KolmogorovSmirnov:
    """Whether two windows of numbers come from one distribution; says nothing of categories.

    Assumes independent rows. On bins the distance is at most that of the raw numbers, so the p-value is at least the
    asymptotic one: the test is conservative. One look only: who looks at every window must divide alpha by their
    number.

    Args:
        alpha: The false discovery rate over the features of one look.
    """

    alpha: Annotated[float, Meta(gt=0, lt=1)] = 0.001

    def check(self, reference: Tally, current: Tally) -> Comparison:
        """The distance of each feature of numbers, and its p-value."""
        distance = np.where(reference.ordered, greatest_distance(reference, current), np.nan)
        scaled = distance / chance(current.n, reference.n)
        p_values = [np.nan if np.isnan(each) else kolmogorov_tail(each) for each in scaled.tolist()]
        return unlikely(distance, np.array(p_values), self.alpha)
