"""The rows that the demo's client sends: real ones again and again, or drawn at random, with a shift or without."""

import csv
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import numpy as np

from sidecar.demo import model
from sidecar.demo.client import Request

SHIFTED = ("mean texture", "mean smoothness", "worst concavity")
"""Of the 30 features, three that say little of each other."""

BY_SD = 1.0
"""Standard deviations by which they are shifted; upwards, so that what is positive stays so."""


def again(trained: model.Trained) -> Iterator[Request]:
    """Requests for the rows that were kept back, in their order, again and again."""
    return cycle([Request(model.body(trained.features, row)) for row in trained.rows])


def write_csv(trained: model.Trained, file: Path) -> None:
    """Write the rows that the model was trained on, under the names of their features."""
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([trained.features, *trained.training])


class Drawn:
    """Requests for rows drawn at random, with replacement, from those that the model was trained on.

    A row is a tumour: its measurements stay together. Without a shift, rows differ by chance alone from those that a
    reference was made of; the rows that were kept back, sent again and again, would not, and would be found to differ.

    Args:
        trained: Has the rows.
        rng: Draws.

    Attributes:
        drawn: Rows so far.
        steps: By how much each shifted feature is higher, in its own unit, while there is a shift.
        shifted: Whether there is.
    """

    def __init__(self, trained: model.Trained, rng: np.random.Generator) -> None:
        self._features = trained.features
        self._rows = np.array(trained.training)
        self._rng = rng
        places = [trained.features.index(name) for name in SHIFTED]
        self._shift = np.zeros(len(trained.features))
        self._shift[places] = BY_SD * self._rows.std(axis=0)[places]
        self.steps = {name: float(self._shift[place]) for name, place in zip(SHIFTED, places, strict=True)}
        self.drawn = 0
        self.shifted = False

    def __iter__(self) -> "Drawn":
        """It is its own iterator: what is drawn is counted."""
        return self

    def __next__(self) -> Request:
        """The next request."""
        self.drawn += 1
        row = self._rows[self._rng.integers(len(self._rows))] + self._shift * self.shifted
        return Request(model.body(self._features, row.tolist()))
