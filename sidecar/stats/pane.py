"""A pane: the statistics of all features over a run of rows. Panes add up to windows."""

from collections.abc import Mapping
from dataclasses import dataclass

from sidecar.stats.categories import Categories
from sidecar.stats.columns import Cells
from sidecar.stats.histogram import Histogram, Packed
from sidecar.stats.moments import Floats, Moments


@dataclass(frozen=True, slots=True)
class ClosedPane:
    """A pane that takes no more rows, compact.

    Args:
        opened_s: Time of its first row.
        categories: By feature; those that have had a text.
    """

    opened_s: float
    moments: Moments
    histogram: Packed
    categories: Mapping[int, Categories]


class Pane:
    """A pane that takes rows, and other panes.

    Attributes:
        opened_s: Time of its first row.
        k: How many features it has room for.
    """

    __slots__ = ("_max_categories", "categories", "histogram", "k", "moments", "opened_s")

    def __init__(self, k: int, max_categories: int, opened_s: float) -> None:
        self.k = k
        self.opened_s = opened_s
        self.moments = Moments(k)
        self.histogram = Histogram(k)
        self.categories: dict[int, Categories] = {}
        self._max_categories = max_categories

    def widen(self, k: int) -> None:
        """Make room for k features; the new ones have seen nothing."""
        if k > self.k:
            moments, histogram = Moments(k), Histogram(k)
            moments.merge(self.moments)
            histogram.merge(self.histogram.packed())
            self.k, self.moments, self.histogram = k, moments, histogram

    def update(self, values: Floats, texts: Mapping[int, Cells]) -> None:
        """Add the rows of one batch.

        Args:
            values: Shape (n, j) with j <= k: the first j features, NaN for what is missing or a text.
            texts: By feature, each of length n.
        """
        self.moments.update(values)
        self.histogram.update(values)
        for feature, column in texts.items():
            self._of(feature).update(column)

    def merge(self, closed: ClosedPane) -> None:
        """Add the rows of another pane, of as many features or fewer."""
        self.moments.merge(closed.moments)
        self.histogram.merge(closed.histogram)
        for feature, categories in closed.categories.items():
            self._of(feature).merge(categories)

    def _of(self, feature: int) -> Categories:
        if feature not in self.categories:
            self.categories[feature] = Categories(self._max_categories)
        return self.categories[feature]

    def copy(self) -> ClosedPane:
        """What it has seen so far, compact; it does not change when this does."""
        categories = {feature: each.copy() for feature, each in self.categories.items()}
        return ClosedPane(self.opened_s, self.moments.copy(), self.histogram.packed(), categories)

    def close(self) -> ClosedPane:
        """What it has seen, compact; the pane itself is to be used no more."""
        return ClosedPane(self.opened_s, self.moments, self.histogram.packed(), self.categories)
