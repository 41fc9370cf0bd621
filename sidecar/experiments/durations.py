"""Durations of one variant, as counts over fine bounds: by a time of constant weights, and by a group of users."""

import math
from dataclasses import dataclass, field

import numpy as np

from sidecar.experiments.totals import EPOCHS, places_of
from sidecar.stats.moments import Counts, Floats, Units

STATE = ("counts", "groups", "epoch", "omitted")
"""The attributes of `Durations` that change: what to save over a restart of the process."""

STEP = 1.01
"""Of durations: what a ratio is known to at best. Margins are wider; 14 KiB an epoch."""

SHORTEST_S, LONGEST_S = 1e-5, 600.0

BOUNDS: Floats = np.exp(np.arange(math.log(SHORTEST_S), math.log(LONGEST_S) + math.log(STEP), math.log(STEP)))
"""Upper ends of the cells, in seconds; the last cell has none."""

CELLS = len(BOUNDS) + 1

GROUPS = 64
"""Of users. Their scatter is known to within 18 %, for 0.9 MiB."""


@dataclass(slots=True)
class Durations:
    """How many durations of one variant fell where.

    Attributes:
        counts: Rows by epoch and cell, shape (EPOCHS, CELLS).
        groups: Rows by group of users and cell, of all epochs, shape (GROUPS, CELLS).
        epoch: The one of now.
        omitted: What was infinite or below 0, and is in nothing else.

    Example:
        >>> durations = Durations()
        >>> durations.take(np.arange(5, dtype=np.uint64), np.array([0.1, 0.2, 0.3, 0.4, 9.0]))
        >>> durations.rows, round(durations.quantile(0.5), 2)
        (5, 0.3)
    """

    counts: Counts = field(init=False)
    groups: Counts = field(init=False)
    epoch: int = field(init=False, default=0)
    omitted: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.counts = np.zeros((EPOCHS, CELLS), dtype=np.int64)
        self.groups = np.zeros((GROUPS, CELLS), dtype=np.int64)

    @property
    def rows(self) -> int:
        """Durations that were counted."""
        return int(self.counts[: self.epoch + 1].sum())

    def begin(self) -> None:
        """Begin an epoch, of all variants at once; as in `Totals`."""
        if self.epoch < EPOCHS - 1:
            self.epoch += 1
            return
        self.counts[1] += self.counts[0]
        self.counts[:-1] = self.counts[1:].copy()
        self.counts[-1] = 0

    def take(self, units: Units, values: Floats, epochs: Counts | None = None) -> None:
        """Add rows.

        Args:
            units: Hashes of whom the split goes by, shape (n,).
            values: In seconds, shape (n,); NaN where a row has none, which leaves it out.
            epochs: In which the requests were dealt, shape (n,); by default all in the one of now.

        Raises:
            ValueError: There are more of one than of the other, or an epoch has not begun.
        """
        units, values = np.asarray(units, dtype=np.uint64), np.asarray(values, dtype=np.float64)
        epochs = places_of(values, epochs, self.epoch)
        if values.ndim != 1 or values.shape != units.shape:
            raise ValueError(f"units and values of shapes {units.shape} and {values.shape}, expected the same (n,)")
        usable = (values >= 0) & (values < np.inf)
        self.omitted += int((~usable & ~np.isnan(values)).sum())
        cells = np.searchsorted(BOUNDS, values[usable])
        groups = (units[usable] & np.uint64(GROUPS - 1)).astype(np.intp)
        np.add.at(self.counts.reshape(-1), epochs[usable] * CELLS + cells, 1)
        np.add.at(self.groups.reshape(-1), groups * CELLS + cells, 1)

    def quantile(self, share: float) -> float:
        """The duration that a share of all rows do not exceed, in the middle of its cell; NaN without rows."""
        return quantile_of(self.counts[: self.epoch + 1].sum(axis=0), share)

    def crowding(self, share: float) -> float:
        """By how much rows are fewer than they seem, 1 or more: variance between groups over that of independent rows.

        inf while one group has more than half of the rows.
        """
        sizes = self.groups.sum(axis=1).astype(np.float64)
        rows = sizes.sum()
        if not rows or 2 * sizes.max() > rows:
            return math.inf
        below = self.groups.sum(axis=0).cumsum()
        cell = int(np.searchsorted(below, share * rows))
        few = self.groups[:, : cell + 1].sum(axis=1)
        told = few.sum() / rows
        effective = rows**2 / (sizes @ sizes)
        scatter = ((few - told * sizes) ** 2).sum() * effective / (effective - 1)
        return max(1.0, float(scatter / (rows * told * (1 - told)))) if told < 1 else 1.0


def quantile_of(counts: Counts, share: float) -> float:
    """In the middle of its cell, by ratio; NaN without rows."""
    below = counts.cumsum()
    if not below[-1]:
        return math.nan
    cell = int(np.searchsorted(below, share * below[-1]))
    return SHORTEST_S * float(STEP ** (cell - 0.5))
