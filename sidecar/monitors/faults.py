"""What points to the pipeline and not to the world: values that are missing, of another type, or from nowhere near.

The world may change where rows fall. It seldom takes a value away, turns a number into a text, or carries rows farther
beyond all that the reference has seen than the reference is wide; and new categories seldom make up half of the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

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


class Latest(Protocol):
    """The rows that came last: how many have what may point to a fault, by column of the reference."""

    @property
    def rows(self) -> int:
        """How many there are."""
        ...

    def texts(self, feature: int) -> int:
        """Rows that have a text there."""
        ...

    def numbers(self, feature: int) -> int:
        """Rows that have a number there."""
        ...

    def far(self, feature: int) -> int:
        """Rows that have a number there which is beyond the feature's `reach`."""
        ...


@dataclass(frozen=True, slots=True)
class Batches:
    """Rows that are at hand; looked through only where somebody asks."""

    bins: Bins
    batches: Sequence[Rows]

    @property
    def rows(self) -> int:
        """As `Latest` has it; likewise the others."""
        return sum(len(batch.values) for batch in self.batches)

    def texts(self, feature: int) -> int:
        """Of the cells that are there, those that are not None."""
        return sum(sum(text is not None for text in batch.texts.get(feature, ())) for batch in self.batches)

    def numbers(self, feature: int) -> int:
        """Of the values those that are not NaN."""
        return sum(int((~np.isnan(batch.values[:, feature])).sum()) for batch in self.batches)

    def far(self, feature: int) -> int:
        """Of the values those beyond the reach, infinities too."""
        low, high = reach(self.bins, feature)
        columns = (batch.values[:, feature] for batch in self.batches)
        return sum(int(((values < low) | (values > high)).sum()) for values in columns)


def reach(bins: Bins, feature: int) -> tuple[float, float]:
    """As far beyond the reference's extremes as these are apart; NaN, beyond which nothing is, where nobody knows.

    Example:
        >>> from sidecar.reference.binning import bins_of
        >>> from sidecar.reference.profile import Numbers, Profile, Profiles
        >>> numbers = Numbers(mean=4.0, total=8.0, std=1.0, minimum=3.0, maximum=5.0, sketch=None)
        >>> reach(bins_of(Profiles(2, [Profile("x", "Fractional", 2, 0, numbers)])), 0)
        (1.0, 7.0)
    """
    low, high = bins.extremes[feature].tolist()
    width = (high - low) or abs(high) or 1.0
    return (low - width, high + width) if np.isfinite(width) else (np.nan, np.nan)


def fault_of(bins: Bins, feature: int, shares: tuple[Floats, Floats], latest: Latest, rows: int) -> Fault:
    """What is wrong with a feature that has changed; empty where the world may have changed.

    Args:
        shares: Of the bins before and after, the last one of missing values, shape (BINS + 1,) each.
        latest: The rows that came last.
        rows: Since the change began.
    """
    before, after = shares
    grown = np.maximum(after - before, 0.0)
    most = LEAST * grown.sum()
    since = max(1, min(rows, latest.rows))
    if grown[BINS] >= most:
        # A text among numbers has no number.
        texts = latest.texts(feature) / since
        return "type" if bins.numeric[feature] and texts >= LEAST * grown[BINS] else "missing"
    new, other = int(bins.new[feature]), int(bins.other[feature])
    if bins.numeric[feature]:
        return "range" if latest.far(feature) / since >= FAR_RATIO else ""
    if latest.numbers(feature) / since >= max(most, FAR_RATIO):
        return "type"
    unknown = new if new >= 0 else other
    return "categories" if grown[unknown] >= most and after[unknown] >= NEW_RATIO else ""
