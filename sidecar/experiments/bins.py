"""Two distributions compared by the shares of bins: how differently variants predict."""

from collections.abc import Mapping, Sequence
from itertools import chain
from math import inf, nan

import numpy as np

from sidecar.experiments import few
from sidecar.experiments.epochs import restore, state_of
from sidecar.experiments.pairs import Pair, compared, stacked
from sidecar.experiments.sequences import further, later, times_until
from sidecar.experiments.totals import EPOCHS, STATE, Totals
from sidecar.experiments.verdicts import Compared, Judged
from sidecar.stats.keeping import Array
from sidecar.stats.moments import Counts, Floats, Units

BINS = 10
"""Of predictions: a tenth of the champion's each."""

EDGE_ROWS = 500
"""The champion's first predictions, from which the edges of the bins come: 50 in each of them."""


class Bins:
    """Compares distributions, by the shares of bins.

    The edges are the tenths of the champion's first EDGE_ROWS values; nothing before them is compared, so that they
    are known beforehand as far as the comparison is concerned. Of few different values each has a bin of its own.

    Each of the B bins has a B-th of the probability of being wrong. While none is, all true differences are in their
    intervals, and so is the greatest of them between the greatest of the least and the greatest of the greatest.

    Args:
        variants: The champion first.
    """

    def __init__(self, judged: Judged, variants: Sequence[str]) -> None:
        self._most, self._margin = judged.most, judged.margin
        self._variants = tuple(variants)
        self._first: Floats = np.empty(0)
        self._edges: Floats = np.empty(0)
        self._bins: list[dict[str, Totals]] = []
        self._epoch = 0

    def begin(self) -> None:
        """Weights change."""
        self._epoch = min(self._epoch + 1, EPOCHS - 1)
        for totals in chain.from_iterable(each.values() for each in self._bins):
            totals.begin()

    def take(self, variant: str, units: Units, values: Floats, epochs: Counts) -> None:
        """Take rows."""
        if not self._bins and variant == self._variants[0]:
            wanted = EDGE_ROWS - len(self._first)
            self._first = np.concatenate((self._first, values[:wanted]))
            units, values, epochs = units[wanted:], values[wanted:], epochs[wanted:]
            if len(self._first) == EDGE_ROWS:
                self._learn(edges_of(self._first))
        places = np.searchsorted(self._edges, values)
        for place, totals in enumerate(self._bins):
            totals[variant].take(units, (places == place).astype(np.float64), epochs)

    def compare(self, challenger: str, wrong: float) -> Compared:
        """The greatest difference of any bin."""
        if not self._bins:
            return Compared(nan, -inf, inf, nan, nan, 0, 0)
        rows = self._bins[0][self._variants[0]].rows, self._bins[0][challenger].rows
        pair = self._pair(challenger)
        if pair is None:
            return Compared(nan, 0.0, inf, nan, nan, *rows)
        difference, radius = np.abs(pair.difference(1.0)), pair.radius(1.0, wrong / len(self._bins))
        estimate = float(difference.max())
        low, high = max(float((difference - radius).max()), 0.0), float((difference + radius).max())
        return Compared(estimate, low, high, nan, estimate, *rows)

    def surely_beyond(self, challenger: str, wrong: float) -> bool:
        """In any bin, up or down."""
        pairs = [(bin_[self._variants[0]], bin_[challenger]) for bin_ in self._bins]
        each = wrong / (2 * max(len(pairs), 1))
        both = [*pairs, *((new, old) for old, new in pairs)]
        return any(few.surely_beyond(*pair, self._margin, wrong=each) for pair in both)

    def rows_to_go(self, challenger: str, wrong: float) -> float:
        """Until any bin is known to differ, or all are within the margin."""
        pair = self._pair(challenger)
        if pair is None:
            return nan
        difference, rows = np.abs(pair.difference(1.0)), self.compare(challenger, wrong)[-2:]

        def radius(times: Floats) -> Floats:
            return later(pair, times).radius(1.0, wrong / len(self._bins))

        different = times_until(lambda times: np.any(difference > radius(times), axis=0))
        alike = times_until(lambda times: np.all(difference + radius(times) < self._margin, axis=0))
        return further(min(different, alike), sum(rows))

    def state(self) -> dict[str, Array]:
        """All of it."""
        own = {"first": self._first, "edges": self._edges, "epoch": np.asarray(self._epoch)}
        return {**own, **state_of(self._named, STATE)}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state."""
        first, edges = _floats(state["first"], EDGE_ROWS), _floats(state["edges"], BINS - 1)
        self._first, self._epoch = first, _epoch(state["epoch"])
        if len(edges):
            self._learn(edges)
        restore(self._named, STATE, state)

    def _learn(self, edges: Floats) -> None:
        self._edges = edges
        self._bins = [{each: Totals(most=self._most) for each in self._variants} for _ in range(len(edges) + 1)]
        for totals in self._named.values():
            totals.epoch = self._epoch

    def _pair(self, challenger: str) -> Pair | None:
        """The comparisons of all bins as one; in all of them the same epochs count."""
        pairs = [compared(bin_[self._variants[0]], bin_[challenger]) for bin_ in self._bins]
        some = [pair for pair in pairs if pair is not None]
        return stacked(some) if some else None

    @property
    def _named(self) -> dict[str, Totals]:
        return {f"{place}/{name}": each for place, bin_ in enumerate(self._bins) for name, each in bin_.items()}


def edges_of(values: Floats) -> Floats:
    """The inclusive upper edges of all bins but the last, at most BINS - 1.

    Of few different values each gets a bin of its own, and one stays for what is below it.

    Example:
        >>> edges_of(np.arange(1.0, 101.0)).round(1).tolist()
        [10.9, 20.8, 30.7, 40.6, 50.5, 60.4, 70.3, 80.2, 90.1]
        >>> np.searchsorted(edges_of(np.array([0.0, 0.0, 1.0])), [-1, 0, 0.5, 1, 2]).tolist()
        [0, 1, 2, 3, 4]
    """
    atoms = np.unique(values)
    if 2 * len(atoms) <= BINS - 1:
        return np.unique(np.concatenate((np.nextafter(atoms, -inf), atoms)))
    return np.unique(np.quantile(values, np.arange(1, BINS) / BINS))


def _floats(array: Array, most: int) -> Floats:
    if array.ndim != 1 or array.dtype != np.float64 or len(array) > most:
        raise ValueError("of another shape or type")
    return array


def _epoch(array: Array) -> int:
    if array.shape != () or array.dtype.kind != "i" or not 0 <= array < EPOCHS:
        raise ValueError("no index of an epoch")
    return int(array)
