"""What is kept of one measure of one variant: counts and sums, by a bucket of users and by a time of constant weights.

**Buckets.** A user's rows depend on each other, so that the scatter of rows says little of how sure a mean is; that of
users does. Users are too many to keep, so BUCKETS groups of them by their hash stand for them: groups are as
independent as users, and their scatter gives the same variance on average. 512 of them know it to within 6 %, for 8 KiB
an epoch; 64 would need intervals an eighth wider where many comparisons share a budget (`sequences` allows for it).

**Epochs.** Where weights change, so does the time at which either variant has its rows. Whoever then pools rows
compares hours, not variants (Simpson's paradox); within an epoch both have the same hours.

**Late rows** are added to the epoch in which their request was dealt: a label comes hours after it. In what order rows
come may hang on their values: the slow come late, and so may what turned out wrong. Who got which variant does not:
within an epoch one weight dealt all of them, so that the next row to come is the challenger's with the same probability
whatever its value, its delay, and the rows before it. While the variants are alike, in delay too, rows in the order in
which they come are as good as in the order in which they were dealt, and what is promised of every look holds at each.
Where they are not, a look compares the rows that have come: a slower challenger lacks more of its slowest while an
epoch is fresh. That passes as they come, as none is left out for being late.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from sidecar.stats.moments import Counts, Floats, Units

STATE = ("counts", "sums", "centre", "least", "epoch", "omitted")
"""The attributes of `Totals` that change: what to save over a restart of the process."""

BUCKETS = 512
"""A power of two: the hash's lowest bits choose."""

EPOCHS = 32
"""A rollout has four or five by default."""

LARGEST = 1e60
"""What is larger is no measurement, and its fourth power no number."""


@dataclass(kw_only=True, slots=True)
class Totals:
    """Rows of one variant, added up.

    Sums are around the first value there was, so that small differences of large values are not lost. The answer
    depends on the rows and their order, not on how they were cut into batches.

    Args:
        most: Values are known to be in [0, most], 1 for shares; NaN where nobody knows.

    Attributes:
        counts: Rows by epoch and bucket, shape (EPOCHS, BUCKETS).
        sums: Of the values less `centre`, likewise.
        centre: The first value; NaN before it.
        least: The least value; inf before the first.
        epoch: The one of now.
        omitted: Values that were infinite or beyond LARGEST, and are in nothing else.

    Example:
        >>> totals = Totals(most=1.0)
        >>> totals.take(np.arange(4, dtype=np.uint64), np.array([0.0, 1.0, np.nan, 0.0]))
        >>> totals.rows, round(totals.mean, 3)
        (3, 0.333)
    """

    most: float = math.nan
    counts: Counts = field(init=False)
    sums: Floats = field(init=False)
    centre: float = field(init=False, default=math.nan)
    least: float = field(init=False, default=math.inf)
    epoch: int = field(init=False, default=0)
    omitted: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.most <= 0 or math.isinf(self.most):
            raise ValueError(f"values of at most {self.most}, expected a positive number, or NaN")
        self.counts = np.zeros((EPOCHS, BUCKETS), dtype=np.int64)
        self.sums = np.zeros((EPOCHS, BUCKETS))

    @property
    def rows(self) -> int:
        """Values that are in the sums."""
        return int(self.counts[: self.epoch + 1].sum())

    @property
    def mean(self) -> float:
        """Of all rows, whenever they came; NaN without any."""
        rows = self.rows
        return self.centre + float(self.sums[: self.epoch + 1].sum()) / rows if rows else math.nan

    def begin(self) -> None:
        """Begin an epoch; to be called of all variants at once.

        When there are EPOCHS the two oldest become one: by their place, so that it is the same two of every variant.
        In that one, then, hours are compared as far as its weights differed; all later ones are as they were, and
        the alternatives are worse: to forget rows would make an interval wider again that has been acted upon.
        """
        if self.epoch < EPOCHS - 1:
            self.epoch += 1
            return
        for kept in (self.counts, self.sums):
            kept[1] += kept[0]
            kept[:-1] = kept[1:].copy()
            kept[-1] = 0

    def take(self, units: Units, values: Floats, epochs: Counts | None = None) -> None:
        """Add rows.

        Args:
            units: Hashes of whom the split goes by, shape (n,).
            values: Shape (n,); NaN where a row has none, which leaves it out.
            epochs: In which the requests were dealt, shape (n,); by default all in the one of now.

        Raises:
            ValueError: There are more of one than of the other, or an epoch has not begun.
        """
        units, values = np.asarray(units, dtype=np.uint64), np.asarray(values, dtype=np.float64)
        epochs = places_of(values, epochs, self.epoch)
        if values.ndim != 1 or values.shape != units.shape:
            raise ValueError(f"units and values of shapes {units.shape} and {values.shape}, expected the same (n,)")
        usable = np.abs(values) <= LARGEST
        self.omitted += int((~usable & ~np.isnan(values)).sum())
        units, values, epochs = units[usable], values[usable], epochs[usable]
        if not values.size:
            return
        if math.isnan(self.centre):
            self.centre = float(values[0])
        self.least = min(self.least, float(values.min()))
        places = epochs * BUCKETS + (units & np.uint64(BUCKETS - 1)).astype(np.int64)
        # Adds in the order of the rows, unlike bincount: how they were cut does not show.
        np.add.at(self.counts.reshape(-1), places, 1)
        np.add.at(self.sums.reshape(-1), places, values - self.centre)


def places_of(values: Floats, epochs: Counts | None, epoch: int) -> Counts:
    """The epoch of each row, shape (n,).

    Args:
        epochs: Of each; None where all are of now.
        epoch: Of now.

    Raises:
        ValueError: One has not begun, or there are not as many as values.
    """
    if epochs is None:
        return np.full(values.shape, epoch, dtype=np.int64)
    if epochs.shape != values.shape or not ((epochs >= 0) & (epochs <= epoch)).all():
        raise ValueError(f"epochs of {len(epochs)} rows, expected those of {len(values)} and none but 0 to {epoch}")
    return epochs
