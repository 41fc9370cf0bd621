"""A data set in one pass and flat memory: tables → Profiles."""

from collections.abc import Sequence

import numpy as np
from datasketches import kll_doubles_sketch

from sidecar.records import Table
from sidecar.reference.profile import Categories, Kind, Numbers, Profile, Profiles
from sidecar.reference.sketch import Sketch
from sidecar.stats.categories import Categories as Counted
from sidecar.stats.categories import Texts
from sidecar.stats.columns import Columns
from sidecar.stats.moments import Moments

SKETCH_K = 2048
"""Deequ's default, and so SageMaker's: ranks are right within 0.15 % of the rows, at 99 % confidence."""

MAX_FEATURES = 10_000
"""Each takes up to 100 KB."""

MAX_CATEGORIES = 1000
"""Texts of a feature that have their own count; rarer ones are folded."""


class Learner:
    """Learns what the columns of tables are like. Tables need not agree on their columns or the order of these.

    A row without a column that others have is a row in which that feature is missing.

    Attributes:
        folded: Columns beyond MAX_FEATURES, and repeated ones, that were ignored, once for every table that had one.
    """

    def __init__(self) -> None:
        self.folded = 0
        self._columns = Columns(MAX_FEATURES)
        self._moments = Moments(0)
        self._sketches: list[kll_doubles_sketch] = []
        self._texts: dict[int, Counted] = {}
        self._fractional: set[int] = set()

    @property
    def rows(self) -> int:
        """Rows seen so far."""
        return self._moments.rows

    def update(self, table: Table, fractional: Sequence[int] = ()) -> None:
        """Add the rows of a table.

        Args:
            fractional: Columns, by position, in which a number was written with a point or an exponent. What is
                written `1.0` is a fraction to SageMaker, though its value does not show it.
        """
        plan = self._columns.plan(table.names)
        self.folded += plan.ignored
        self._widen(plan.k)
        values = plan.place(table.values)
        self._moments.update(values)
        for feature in range(values.shape[1]):
            column = values[:, feature]
            self._sketches[feature].update(np.ascontiguousarray(column[np.isfinite(column)]))
        for feature, texts in plan.place_texts(table.texts).items():
            self._texts.setdefault(feature, Counted(MAX_CATEGORIES)).update(texts)
        self._fractional.update(plan.features[column] for column in fractional)

    def profiles(self) -> Profiles:
        """What has been learned so far."""
        names = self._columns.names
        return Profiles(self._moments.rows, [self._profile(feature, name) for feature, name in enumerate(names)])

    def _widen(self, k: int) -> None:
        if k > self._moments.mean.size:
            wider = Moments(k)
            wider.merge(self._moments)
            self._moments = wider
            self._sketches += [kll_doubles_sketch(SKETCH_K) for _ in range(k - len(self._sketches))]

    def _profile(self, feature: int, name: str) -> Profile:
        moments = self._moments
        numbers = int(moments.count[feature])
        texts = self._texts[feature].texts() if feature in self._texts else None
        present = numbers + int(moments.infinite[feature]) + (texts.rows if texts else 0)
        missing = moments.rows - present
        if texts is not None:
            return Profile(name, "String", present, missing, categories=_categories(texts))
        if not present:
            return Profile(name, "Unknown", present, missing)
        whole = numbers == present == int(moments.integral[feature]) and feature not in self._fractional
        kind: Kind = "Integral" if whole else "Fractional"
        return Profile(name, kind, present, missing, numbers=self._numbers(feature) if numbers else None)

    def _numbers(self, feature: int) -> Numbers:
        moments = self._moments
        mean = float(moments.mean[feature])
        return Numbers(
            mean=mean,
            total=mean * int(moments.count[feature]),
            std=float(moments.std[feature]),
            minimum=float(moments.minimum[feature]),
            maximum=float(moments.maximum[feature]),
            sketch=_levels(self._sketches[feature]),
        )


def _categories(texts: Texts) -> Categories:
    return Categories(texts.distinct, dict(texts.top))


def _levels(sketch: kll_doubles_sketch) -> Sketch:
    """The items by the logarithm of their weight."""
    levels: list[list[float]] = []
    for item, weight in sketch:
        level = weight.bit_length() - 1
        levels += [[] for _ in range(level + 1 - len(levels))]
        levels[level].append(item)
    return Sketch(k=sketch.k, levels=[sorted(level) for level in levels])
