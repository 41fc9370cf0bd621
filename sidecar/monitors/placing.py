"""Which column of a sample is which column of the reference: samples name theirs, in an order of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sidecar.records import Table
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Flags, Floats

Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the columns of one kind of sample go.

    Args:
        asked: For each column of the reference its position among the features, shape (k,); -1 where it is not there.
        answered: Likewise among the predictions, for what is no feature.
        straight: The features are the reference's columns, all of them and in their order.
    """

    asked: Places
    answered: Places
    straight: bool

    @property
    def present(self) -> Flags:
        """The columns of the reference that the sample has, shape (k,)."""
        return (self.asked >= 0) | (self.answered >= 0)

    def rows(self, features: Table, predictions: Table) -> "Rows":
        """N rows by the reference's columns."""
        if self.straight:
            return Rows(features.values, features.texts)
        columns = np.full((len(self.asked), len(features.values)), np.nan)
        texts: dict[int, Cells] = {}
        for places, table in ((self.asked, features), (self.answered, predictions)):
            taken = np.flatnonzero(places >= 0)
            columns[taken] = table.values.T[places[taken]]
            if table.texts:
                here = {int(place): column for column, place in enumerate(places.tolist()) if place >= 0}
                texts.update({here[place]: cells for place, cells in table.texts.items() if place in here})
        return Rows(columns.T, texts)


@dataclass(frozen=True, slots=True)
class Rows:
    """Whole rows.

    Args:
        values: By the reference's columns, shape (n, k); NaN for what is missing or a text.
        texts: By the reference's columns, each of length n.
    """

    values: Floats
    texts: Mapping[int, Cells]

    def only(self, columns: Places) -> "Rows":
        """Of some columns, in this order."""
        places = {int(column): place for place, column in enumerate(columns)}
        return Rows(
            self.values[:, columns], {places[each]: cells for each, cells in self.texts.items() if each in places}
        )


def placement(names: Sequence[str], features: Sequence[str], predictions: Sequence[str]) -> Placement:
    """Where columns of these names go; of two that are called alike the first counts.

    Args:
        names: Of the reference's columns.
    """
    asked = _places(names, features)
    answered = np.where(asked >= 0, -1, _places(names, predictions))
    return Placement(asked, answered, tuple(features) == tuple(names))


def _places(names: Sequence[str], columns: Sequence[str]) -> Places:
    first: Mapping[str, int] = {name: place for place, name in reversed(list(enumerate(columns)))}
    return np.array([first.get(name, -1) for name in names], dtype=np.int64)
