"""What points to the pipeline and not to the world: values that are missing, of another type, or from nowhere near.

The world may change where rows fall. It seldom takes a value away, turns a number into a text, or carries rows farther
beyond all that the reference has seen than the reference is wide; and new categories seldom make up half of the rows.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from sidecar.monitors.placing import Rows
from sidecar.reference.binning import BINS, Bins
from sidecar.stats.moments import Floats

Fault = Literal["", "missing", "type", "range", "categories"]
"""Empty where nothing points to the pipeline."""

WORDS = {
    "missing": "values are missing",
    "type": "values came as another type",
    "range": "values are far beyond all that the reference has",
    "categories": "most texts are ones that the reference never had",
}

LEAST = 0.5
"""Of what has moved, that the fault must explain."""

FAR_RATIO = 0.3
"""Of the rows since the change, that must be far beyond the reference."""

NEW_RATIO = 0.5
"""Of the rows since the change, of new categories: a new country is one, another spelling makes all so."""


def fault_of(bins: Bins, feature: int, shares: tuple[Floats, Floats], latest: Sequence[Rows], rows: int) -> Fault:
    """What is wrong with a feature that has changed; empty where the world may have changed.

    Args:
        shares: Of the bins before and after, the last one of missing values, shape (BINS + 1,) each.
        latest: The rows that came last, in batches.
        rows: Since the change began.
    """
    before, after = shares
    grown = np.maximum(after - before, 0.0)
    most = LEAST * grown.sum()
    if grown[BINS] >= most:
        # A text among numbers has no number.
        return "type" if bins.numeric[feature] and _texts(feature, latest, rows) >= LEAST * grown[BINS] else "missing"
    new, other = int(bins.new[feature]), int(bins.other[feature])
    if bins.numeric[feature]:
        return "range" if _far(bins, feature, latest, rows) >= FAR_RATIO else ""
    if _numbers(feature, latest, rows) >= max(most, FAR_RATIO):
        return "type"
    unknown = new if new >= 0 else other
    return "categories" if grown[unknown] >= most and after[unknown] >= NEW_RATIO else ""


def _texts(feature: int, latest: Sequence[Rows], rows: int) -> float:
    """The share of the latest rows that have a text there."""
    found = sum(sum(text is not None for text in batch.texts.get(feature, ())) for batch in latest)
    return found / _since(latest, rows)


def _numbers(feature: int, latest: Sequence[Rows], rows: int) -> float:
    """The share of the latest rows that have a number there."""
    found = sum(int((~np.isnan(batch.values[:, feature])).sum()) for batch in latest)
    return found / _since(latest, rows)


def _far(bins: Bins, feature: int, latest: Sequence[Rows], rows: int) -> float:
    """The share of the latest rows that are farther beyond the reference's extremes than these are apart."""
    low, high = bins.extremes[feature].tolist()
    width = (high - low) or abs(high) or 1.0
    if not np.isfinite(width):
        return 0.0
    far = 0
    for batch in latest:
        values = batch.values[:, feature]
        far += int(((values < low - width) | (values > high + width)).sum())
    return far / _since(latest, rows)


def _since(latest: Sequence[Rows], rows: int) -> int:
    """How many of the latest rows came since the change."""
    return max(1, min(rows, sum(len(batch.values) for batch in latest)))
