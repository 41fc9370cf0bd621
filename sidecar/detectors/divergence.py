"""Distances between shares: the population stability index, and Jensen and Shannon's."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from sidecar.detectors.verdict import beyond
from sidecar.records import Comparison
from sidecar.stats.moments import Flags, Floats
from sidecar.stats.tally import Tally

FLOOR = 1e-4
"""The least share that PSI takes: an empty bin would make it infinite. The value that scorecards use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulationStability:
    """PSI: the sum of (q - p) ln(q / p) over the bins, p of the reference and q of the window.

    Assumes nothing. Without drift it is about (B - 1)(1/n + 1/m) for B bins in use (Yurdakul, "Statistical properties
    of population stability index", 2018): a window of 100 rows over 10 bins has 0.09 by chance alone.

    Args:
        threshold: Above it there is drift; credit scoring's rule is 0.1 for a moderate one and 0.25 for a great one.
    """

    threshold: Annotated[float, Meta(ge=0)] = 0.25

    def check(self, reference: Tally, current: Tally) -> Comparison:
        """The index of each feature."""
        p, q = reference.shares, current.shares
        used = (reference.counts > 0) | (current.counts > 0)
        floored_p, floored_q = np.maximum(p, FLOOR), np.maximum(q, FLOOR)
        terms = (floored_q - floored_p) * np.log(floored_q / floored_p)
        return beyond(_total(terms, used, p, q), self.threshold)


@dataclass(frozen=True, slots=True, kw_only=True)
class JensenShannon:
    """The square root of the divergence in bits: 0 for equal shares, 1 for such that have no bin in common.

    Assumes nothing. Without drift its square is about (B - 1)(1/n + 1/m) / (8 ln 2).

    Args:
        threshold: Above it there is drift.
    """

    threshold: Annotated[float, Meta(ge=0)] = 0.1

    def check(self, reference: Tally, current: Tally) -> Comparison:
        """The distance of each feature."""
        p, q = reference.shares, current.shares
        middle = (p + q) / 2
        terms = (_surprise(p, middle) + _surprise(q, middle)) / 2
        used = (reference.counts > 0) | (current.counts > 0)
        bits = _total(terms, used, p, q) / np.log(2)
        return beyond(np.sqrt(np.maximum(bits, 0.0)), self.threshold)


def _surprise(p: Floats, q: Floats) -> Floats:
    """P ln(p / q); 0 where p is 0."""
    return np.where(p > 0, p, 0.0) * np.log(np.where(p > 0, p, 1.0) / np.where(p > 0, q, 1.0))


def _total(terms: Floats, used: Flags, p: Floats, q: Floats) -> Floats:
    """The sum over the bins in use, shape (k,); NaN where one of the windows is empty."""
    known = ~(np.isnan(p) | np.isnan(q)).any(axis=1)
    total: Floats = np.where(known, np.where(used, terms, 0.0).sum(axis=1), np.nan)
    return total
