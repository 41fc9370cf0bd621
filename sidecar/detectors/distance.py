"""The greatest distance between two distributions, as SageMaker Model Monitor measures drift.

Source: Deequ's public analyzer, github.com/awslabs/deequ, src/main/scala/com/amazon/deequ/analyzers/Distance.scala.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from msgspec import Meta

from sidecar.detectors.verdict import beyond
from sidecar.records import Comparison
from sidecar.stats.tally import Tally, chance, greatest_distance

CORRECTION = 1.8
"""Of Robust: Kolmogorov and Smirnov's c(alpha) for alpha = 0.003."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LInfinity:
    """The greatest distance between reference and window.

    Assumes nothing. Without drift `Simple` is about sqrt((n+m)/(nm)) times Kolmogorov's distribution: it alarms on
    small windows by chance (26 % of those with 100 rows, at 0.1). `Robust` takes off what chance explains in 99.7 % of
    the windows; it does not see what is smaller than that, however long it lasts.

    Args:
        threshold: Above it there is drift.
        method: SageMaker's `comparison_method`; for numbers only, categories are compared as they are.
    """

    threshold: Annotated[float, Meta(ge=0)] = 0.1
    method: Literal["Simple", "Robust"] = "Robust"

    def check(self, reference: Tally, current: Tally) -> Comparison:
        """The distance of each feature."""
        distance = greatest_distance(reference, current)
        if self.method == "Robust":
            explained = CORRECTION * chance(current.n, reference.n)
            robust = np.maximum(distance - explained, 0.0)
            distance = np.where(reference.ordered, robust, distance)
        return beyond(distance, self.threshold)
