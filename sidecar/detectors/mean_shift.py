"""The mean of a window against the reference's, in standard deviations."""

from dataclasses import dataclass
from math import erfc, sqrt
from typing import Annotated

import numpy as np
from msgspec import Meta

from sidecar.detectors.verdict import unlikely
from sidecar.records import Comparison
from sidecar.stats.tally import Tally, chance


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanShift:
    """By how many of the reference's standard deviations the mean has moved; says nothing of categories.

    Assumes independent rows, as many as make a mean normal (some dozens; thousands where the tails are heavy), and
    that the variance is still the reference's: z = shift / sqrt(1/n + 1/m), and the p-value is that of a standard
    normal beyond |z|, on both sides. Without drift the shift is 0 +- sqrt(1/n + 1/m). A window whose variance has grown
    has small p-values too often. An infinity counts as the outermost of the bins' edges. There is no verdict where the
    deviation is unknown or 0: a constant has no unit to measure in. One look only.

    Args:
        alpha: The false discovery rate over the features of one look.
    """

    alpha: Annotated[float, Meta(gt=0, lt=1)] = 0.001

    def check(self, reference: Tally, current: Tally) -> Comparison:
        """The shift of each feature of numbers, negative where the mean has fallen, and its p-value."""
        with np.errstate(over="ignore", invalid="ignore"):
            shift = (current.mean - reference.mean) / reference.unit
        z = np.abs(shift) / chance(current.n, reference.n)
        p_values = [erfc(each / sqrt(2)) for each in z.tolist()]
        return unlikely(shift, np.array(p_values), self.alpha)
