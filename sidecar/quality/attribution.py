"""What a model's answers rest on, and whether that has changed: rankings of features by mean |attribution|.

https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-model-monitor-feature-attribution-drift.html
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from sidecar.stats.moments import Flags, Floats

LEAST = 0.90
"""SageMaker's limit: there is drift below it."""

MAX_FEATURES = 4096
"""Of which a mean is kept; who sends more than that is not describing one model."""


def ndcg(reference: Mapping[str, float], current: Mapping[str, float]) -> float:
    """How far the features that mattered most still do: the normalised discounted cumulative gain, in [0, 1].

        NDCG = sum a(f'_i) / log2(i + 1)  /  sum a(f_i) / log2(i + 1),  i = 1 ... m

    with f the features from the greatest reference attribution down, f' those from the greatest current one down, and
    a the reference's. Features of equal current attribution share their places (McSherry and Najork, "Computing
    Information Retrieval Performance Measures Efficiently in the Presence of Tied Scores", 2008), so that their order
    in the mappings does not matter. A feature that one side does not have, or has as NaN, has no attribution there: if
    it is new, it takes a place from those that the reference knows.

    Args:
        reference: Attribution of each feature; its sign does not count.
        current: Likewise, now.

    Returns:
        NaN where either side has no feature with an attribution but 0, or an infinite one.

    Example:
        >>> round(ndcg({"SAT": 0.70, "GPA": 0.50, "rank": 0.05}, {"SAT": 0.10, "GPA": 0.20, "rank": 0.70}), 4)
        0.6876
    """
    names = sorted({*reference, *current})
    gains, scores = _in_order(reference, names), _in_order(current, names)
    return float(ndcgs(gains[None], scores[None])[0])


def ndcgs(reference: Floats, current: Floats) -> Floats:
    """The same for m pairs of rankings at once.

    Args:
        reference: Attributions of k features, shape (m, k).
        current: Likewise, now.

    Returns:
        Shape (m,).
    """
    m, k = reference.shape
    if not m * k:
        return np.full(m, np.nan)
    (gains, known), (scores, told) = _relative(reference), _relative(current)
    ranked = np.lexsort((-gains, -scores))
    discounts = 1 / np.log2(np.arange(k) + 2.0)
    shared = _shared(np.take_along_axis(scores, ranked, axis=1), discounts)
    # Both sums run over arrays of the same layout, so that the reference's own ranking scores 1 and nothing less.
    gained = (np.take_along_axis(gains, ranked, axis=1) * shared).sum(axis=1)
    best = (-np.sort(-gains, axis=1) * discounts).sum(axis=1)
    # Where equals share their places, the best order may come out a rounding error better than itself.
    found: Floats = np.where(known & told, np.minimum(gained / best, 1.0), np.nan)
    return found


def _in_order(attributions: Mapping[str, float], names: list[str]) -> Floats:
    return np.array([attributions.get(name, 0.0) for name in names], dtype=np.float64)


def _relative(values: Floats) -> tuple[Floats, Flags]:
    """Attributions as shares of the greatest of their row, and the rows in which that is neither 0 nor infinite."""
    sizes = np.where(np.isnan(values), 0.0, np.abs(values))
    most = sizes.max(axis=1)
    defined = (most > 0) & np.isfinite(most)
    return np.where(defined[:, None], sizes, 1.0) / np.where(defined, most, 1.0)[:, None], defined


def _shared(scores: Floats, discounts: Floats) -> Floats:
    """The discounts of m rankings, those of equal scores as their mean; scores in descending order, shape (m, k)."""
    begins = np.ones(scores.shape, dtype=np.bool_)
    begins[:, 1:] = scores[:, 1:] != scores[:, :-1]
    group = begins.ravel().cumsum() - 1
    means = np.bincount(group, weights=np.tile(discounts, len(scores))) / np.bincount(group)
    shared: Floats = means[group].reshape(scores.shape)
    return shared


@dataclass(frozen=True, slots=True, eq=False)
class Attributions:
    """Running means of |attribution| over rows, mergeable in any order.

    Args:
        names: The k features.
        means: Of the rows that had an attribution, shape (k,); 0 where none had.
        weights: Of those rows, shape (k,).
    """

    names: tuple[str, ...] = ()
    means: Floats = field(default_factory=lambda: np.zeros(0))
    weights: Floats = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def of(cls, names: tuple[str, ...], values: Floats, weights: Floats) -> Self:
        """The means of n rows.

        Args:
            names: The features, each once.
            values: Attributions, shape (n, k); what is not finite is left out.
            weights: Rows of the traffic that each row stands for, shape (n,).
        """
        names, values = names[:MAX_FEATURES], values[:, :MAX_FEATURES]
        present = np.isfinite(values)
        sizes = np.abs(np.where(present, values, 0.0))
        # Divided before they are added up: the sum of large ones may be infinite.
        most = sizes.max(axis=0, initial=0.0)
        scaled = sizes / np.where(most > 0, most, 1.0)
        rows = weights @ present
        return cls(names, weights @ scaled / np.where(rows > 0, rows, 1.0) * most, rows)

    def __add__(self, other: Self) -> Self:
        """The means over the rows of both."""
        names = tuple(dict.fromkeys((*self.names, *other.names)))[:MAX_FEATURES]
        (mine, my_rows), (theirs, their_rows) = self.of_features(names), other.of_features(names)
        rows = my_rows + their_rows
        share = their_rows / np.where(rows > 0, rows, 1.0)
        return type(self)(names, mine + (theirs - mine) * share, rows)

    def by_feature(self) -> dict[str, float]:
        """The mean of each feature that any row had an attribution of."""
        columns = zip(self.names, self.means.tolist(), self.weights.tolist(), strict=True)
        return {name: mean for name, mean, rows in columns if rows > 0}

    def of_features(self, names: tuple[str, ...]) -> tuple[Floats, Floats]:
        """Means and weights in the order of these names; 0 for those that are not known."""
        if names == self.names:
            return self.means, self.weights
        column = {name: place for place, name in enumerate(self.names)}
        places = np.array([column.get(name, len(column)) for name in names], dtype=np.intp)
        return np.append(self.means, 0.0)[places], np.append(self.weights, 0.0)[places]
