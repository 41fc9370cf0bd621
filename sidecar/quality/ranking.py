"""How far the features that mattered are still those that do, and between which bounds that is known.

An estimate from few rows ranks features in a wrong order too. The interval is that of the bootstrap (Efron and
Tibshirani, "An Introduction to the Bootstrap", 1993, section 13.3, percentiles) of whole panes of rows: rows that come
together, as those of one request, are alike, and are drawn together. Where few rows have most of the attribution, no
ranking of two halves of the same rows is the same: what chance alone makes of the score is told too, by a permutation
test.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from math import nan
from operator import add

import numpy as np
from numpy.random import Generator

from sidecar.quality.attribution import Attributions, ndcg, ndcgs
from sidecar.stats.moments import Counts, Flags, Floats

RESAMPLES = 400
"""Two of which lie beyond either bound of an interval that holds 99 %."""

CONFIDENCE = 0.99

MAX_CELLS = 1 << 18
"""Of resamples that are scored at once: 2 MiB an array."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A feature that has another place in the ranking.

    Args:
        share: Its part of all that moved, in (0, 1].
        ranks: In the reference and now, from 1; one more than there are features with an attribution, where it has
            none.
        attributions: The mean |attribution|, likewise.
    """

    name: str
    share: float
    ranks: tuple[int, int]
    attributions: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Ranking:
    """The ranking of a window beside the reference's.

    Args:
        ndcg: NaN where either side has no attribution.
        low: Of the interval that holds the NDCG of many such windows; NaN likewise.
        high: Its other end.
        by_chance: The least of so many scores that rows of the reference and the window have when they are mixed: a
            score below has a probability of 1 / (RESAMPLES + 1) without any change, whatever their distribution. 1
            where the reference is known for sure.
        reference: The mean |attribution| of each feature.
        current: Likewise of the window.
    """

    ndcg: float
    low: float
    high: float
    by_chance: float
    reference: Mapping[str, float]
    current: Mapping[str, float]

    def moved(self) -> list[Moved]:
        """The features that have another place, those first that changed most of what the score weighs."""
        before, after = _ranks(self.reference), _ranks(self.current)
        shares, shares_now = _shares(self.reference), _shares(self.current)
        weights: dict[str, float] = {}
        for name in sorted({*before, *after}):
            ranks = before.get(name, len(before) + 1), after.get(name, len(after) + 1)
            discounts = 1 / np.log2(np.array(ranks) + 1.0)
            size = max(shares.get(name, 0.0), shares_now.get(name, 0.0))
            weights[name] = float(size * abs(discounts[0] - discounts[1]))
        total = sum(weights.values())
        found = [
            Moved(
                name,
                weight / total,
                (before.get(name, len(before) + 1), after.get(name, len(after) + 1)),
                (self.reference.get(name, 0.0), self.current.get(name, 0.0)),
            )
            for name, weight in weights.items()
            if weight > 0 and weight / total > 0
        ]
        return sorted(found, key=lambda each: -each.share)


def rank(
    reference: Mapping[str, float] | Sequence[Attributions], current: Sequence[Attributions], rng: Generator
) -> Ranking:
    """Compare a window with the reference.

    Args:
        reference: Finite numbers that are known for sure; or the panes they were learned from, whose chance counts too.
        current: The panes of the window, at least one.
        rng: Draws the resamples.

    Example:
        >>> panes = [Attributions.of(("a", "b"), np.array([[2.0, 1.0]]), np.ones(1))] * 5
        >>> found = rank({"a": 1.0, "b": 0.5}, panes, np.random.default_rng(0))
        >>> found.ndcg, found.low, found.high
        (1.0, 1.0, 1.0)
    """
    after = _Panes(current)
    if isinstance(reference, Mapping):
        known, by_chance, scores = reference, 1.0, _against_stated(reference, after, rng)
    else:
        before = _Panes(reference)
        known, by_chance, scores = before.known, *_against_learned(before, after, rng)
    low, high = _interval(scores)
    return Ranking(ndcg(known, after.known), low, high, by_chance, known, after.known)


class _Panes:
    """Pieces of rows that are drawn together.

    Attributes:
        known: The mean of each feature, over all of them.
    """

    def __init__(self, panes: Sequence[Attributions]) -> None:
        self.panes = panes
        self.known: Mapping[str, float] = reduce(add, panes).by_feature()

    def drawn(self, names: tuple[str, ...], count: int, rng: Generator) -> Floats:
        """Means over as many panes as there are, drawn with replacement, shape (count, k)."""
        size = len(self.panes)
        return self._means(names, rng.multinomial(size, np.full(size, 1 / size), size=count))

    def divided(self, names: tuple[str, ...], first: int, count: int, rng: Generator) -> tuple[Floats, Floats]:
        """Means over the first so many panes in random order, and over the others, shape (count, k) each."""
        size = len(self.panes)
        chosen = rng.permuted(np.tile(np.arange(size) < first, (count, 1)), axis=1)
        return self._means(names, chosen), self._means(names, ~chosen)

    def _means(self, names: tuple[str, ...], times: Counts | Flags) -> Floats:
        """Means over panes of which each counts so many times; NaN where no row of theirs has an attribution."""
        columns = [pane.of_features(names) for pane in self.panes]
        means, rows = np.array([mean for mean, _ in columns]), np.array([row for _, row in columns])
        # Both as shares of the greatest: the sum of large ones may be infinite.
        most, heaviest = means.max(axis=0, initial=0.0), rows.max(initial=0.0)
        means, rows = means / np.where(most > 0, most, 1.0), rows / (heaviest if heaviest > 0 else 1.0)
        counts = times.astype(np.float64)
        weights = counts @ rows
        found: Floats = counts @ (means * rows) / np.where(weights > 0, weights, 1.0) * most
        return np.where(weights > 0, found, np.nan)


def _against_stated(reference: Mapping[str, float], after: _Panes, rng: Generator) -> Floats:
    names = tuple(sorted({*reference, *after.known}))
    values = np.array([reference.get(name, 0.0) for name in names])
    return np.concatenate(
        [ndcgs(np.tile(values, (count, 1)), after.drawn(names, count, rng)) for count in _batches(len(names))]
    )


def _against_learned(before: _Panes, after: _Panes, rng: Generator) -> tuple[float, Floats]:
    """The least score of panes that are divided at random, and the scores of the resamples."""
    names = tuple(sorted({*before.known, *after.known}))
    both, first = _Panes([*before.panes, *after.panes]), len(before.panes)
    scores, mixed = [], []
    for count in _batches(len(names)):
        scores.append(ndcgs(before.drawn(names, count, rng), after.drawn(names, count, rng)))
        mixed.append(ndcgs(*both.divided(names, first, count, rng)))
    return float(np.nanmin(np.append(np.concatenate(mixed), 1.0))), np.concatenate(scores)


def _batches(features: int) -> Iterator[int]:
    """RESAMPLES in as many parts as memory asks for."""
    step = max(1, MAX_CELLS // max(features, 1))
    for start in range(0, RESAMPLES, step):
        yield min(step, RESAMPLES - start)


def _interval(scores: Floats) -> tuple[float, float]:
    known = scores[np.isfinite(scores)]
    if not known.size:
        return nan, nan
    low, high = np.quantile(known, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return low, high


def _ranks(attributions: Mapping[str, float]) -> dict[str, int]:
    """The place of each feature with an attribution, from 1; equals share the best of theirs."""
    sizes = {name: abs(value) for name, value in attributions.items() if abs(value) > 0}
    places: dict[float, int] = {}
    for place, size in enumerate(sorted(sizes.values(), reverse=True), 1):
        places.setdefault(size, place)
    return {name: places[size] for name, size in sizes.items()}


def _shares(attributions: Mapping[str, float]) -> dict[str, float]:
    """Of the greatest attribution; features without one are left out."""
    sizes = {name: abs(value) for name, value in attributions.items() if abs(value) > 0}
    most = max(sizes.values(), default=1.0)
    return {name: size / most for name, size in sizes.items()}
