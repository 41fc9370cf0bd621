"""Which feature a column is: batches name their columns, and need not agree on which there are or in which order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sidecar.stats.moments import Floats

Cells = Sequence[str | None]

MAX_NAME = 256
"""Characters of a column's name; a longer one is no name, and its column is ignored."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the columns of a batch go.

    Args:
        names: The batch's columns.
        features: The feature of each; -1 for one that is ignored.
        k: Features known with this batch.
        ignored: Columns that are ignored.
        straight: The columns are the first features, in their order.
    """

    names: tuple[str, ...]
    features: tuple[int, ...]
    k: int
    ignored: int
    straight: bool

    def place(self, values: Floats) -> Floats:
        """The batch of shape (n, len(names)) by feature, (n, j) with j <= k, NaN where it has no column."""
        if self.straight:
            return values
        features = np.array(self.features, dtype=np.int64)
        kept = np.flatnonzero(features >= 0)
        columns = np.full((self.k, len(values)), np.nan)
        columns[features[kept]] = values.T[kept]
        return columns.T

    def place_texts(self, texts: Mapping[int, Cells]) -> dict[int, Cells]:
        """The text columns, by position in `names`, by feature."""
        return {self.features[column]: cells for column, cells in texts.items() if self.features[column] >= 0}


class Columns:
    """The names that have been seen, in the order in which they first appeared; no more than `limit`."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._features: dict[str, int] = {}
        self._plan = Plan((), (), k=0, ignored=0, straight=True)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each feature."""
        return tuple(self._features)

    def plan(self, names: tuple[str, ...]) -> Plan:
        """Where these columns go.

        Takes new names in while there is room; ignores the rest, what repeats, and what is too long to be a name.
        """
        if names != self._plan.names:
            self._plan = self._planned(names)
        return self._plan

    def _planned(self, names: tuple[str, ...]) -> Plan:
        features: list[int] = []
        taken = {-1}
        for name in names:
            if name not in self._features and len(self._features) < self._limit and len(name) <= MAX_NAME:
                self._features[name] = len(self._features)
            feature = self._features.get(name, -1)
            features.append(-1 if feature in taken else feature)
            taken.add(feature)
        straight = features == list(range(len(names)))
        return Plan(names, tuple(features), len(self._features), features.count(-1), straight)
