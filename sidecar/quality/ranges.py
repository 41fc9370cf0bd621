"""Bias metrics with their intervals, and whether these lie outside of what is allowed.

Clarify's alarm: a metric breaks its range only if its whole interval lies outside; while the two overlap, chance may
explain what was seen. https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-model-monitor-bias-drift.html
"""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from sidecar.quality.bias import UNBIASED, Facet, post_training, pre_training
from sidecar.quality.deviations import GROUPS, deviations
from sidecar.quality.flipping import compared, flip_test
from sidecar.stats.moments import Floats

CONFIDENCE = 0.95
"""Of an interval around one metric. Clarify does not tell its own; many metrics, often looked at, need more."""


class Measured(NamedTuple):
    """A metric and how far it may be off by chance; all NaN where it is unknown.

    Args:
        value: As the rows have it.
        low: Of the interval around it; NaN where the deviation is.
        high: Likewise.
        deviation: The standard error.
    """

    value: float
    low: float
    high: float
    deviation: float


UNKNOWN = Measured(math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Violation:
    """A metric outside of what it is allowed to be.

    Args:
        facet: By what the group is told apart: the name of a column.
        facet_value: The group's value there, or its interval: `f`, `(40, 60]`.
        metric: Its short name: `DPPL`.
        value: What was observed.
        limit: What it may be, for people.
        description: Both, and how sure they are, for people.
    """

    facet: str
    facet_value: str
    metric: str
    value: float
    limit: str
    description: str


def measured(
    facet: Facet, *, least_rows: int, features: Floats | None = None, confidence: float = CONFIDENCE
) -> dict[str, Measured]:
    """Every metric of labels and predictions, with the interval that the jackknife gives.

    Args:
        least_rows: If either group has fewer, every metric is unknown: a number of so few rows is no verdict.
        features: As `flip_test` wants them; without them FT is unknown.
        confidence: With which an interval holds the metric of all traffic, in (0, 1).
    """
    rows, members = len(facet.disfavoured), np.count_nonzero(facet.disfavoured)
    if min(members, rows - members) < max(least_rows, 1):
        return dict.fromkeys(UNBIASED, UNKNOWN)
    quantile = _quantile(confidence)
    values, errors = _metrics(facet), deviations(lambda kept: _metrics(facet.at(kept)), rows)
    found = {name: _around(value, errors[name], quantile) for name, value in values.items()}
    return {**found, "FT": UNKNOWN if features is None else _flipped(facet, features, quantile)}


def breaks(metric: Measured, allowed: tuple[float, float]) -> bool:
    """Whether the whole interval lies outside of the allowed range; never where either is unknown.

    Args:
        allowed: The least and the greatest value, both allowed; infinite where there is no such limit.
    """
    low, high = allowed
    return metric.high < low or metric.low > high


def no_farther(name: str, reference: float) -> tuple[float, float]:
    """The range of those values of a metric that are no farther from no bias, on either side, than the reference's.

    Of DI, a ratio, 1 / x is as far as x. Nothing breaks the range of a reference that is unknown or infinite; that a
    reference of few rows is itself uncertain is not in its file, and not in the range.
    """
    unbiased = UNBIASED[name]
    if name == "DI":
        distances = sorted((reference, 1 / reference if reference else math.inf))
        return distances[0], distances[1]
    distance = abs(reference - unbiased)
    return unbiased - distance, unbiased + distance


def violation(facet: str, facet_value: str, name: str, metric: Measured, allowed: tuple[float, float]) -> Violation:
    """What there is to say of a metric that breaks its range."""
    limit = f"{allowed[0]:g} to {allowed[1]:g}"
    told = f"Value {metric.value} does not meet the constraint requirement: between {metric.low:.4g} and "
    return Violation(facet, facet_value, name, metric.value, limit, f"{told}{metric.high:.4g}, expected {limit}")


def _metrics(facet: Facet) -> dict[str, float]:
    return {**pre_training(facet), **post_training(facet)}


def _quantile(confidence: float) -> float:
    """Student's, two-sided, since 20 groups do not know the deviation exactly: 2.09 for 95 %, where normal is 1.96.

    Cornish and Fisher's expansion around the normal quantile (Abramowitz and Stegun 26.7.5); off by less than 0.5 % up
    to a confidence of 0.9999.
    """
    z, freedom = NormalDist().inv_cdf((1 + confidence) / 2), GROUPS - 1
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _flipped(facet: Facet, features: Floats, quantile: float) -> Measured:
    """FT with its interval, of the rows that it compares: each replicate, thinned anew, would differ by that alone."""
    places = compared(facet)
    facet, features = facet.at(places), features[places]
    errors = deviations(lambda kept: {"FT": flip_test(facet.at(kept), features[kept])}, len(places))
    return _around(flip_test(facet, features), errors["FT"], quantile)


def _around(value: float, deviation: float, quantile: float) -> Measured:
    reach = quantile * deviation
    return Measured(value, value - reach, value + reach, deviation)
