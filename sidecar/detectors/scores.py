"""Normal scores: every feature of a row as a number, whatever its units, shape, ties or texts.

A feature's values fall into up to PLACES places of about equal mass in the rows that it is learned from; a place has
the normal quantile of its mid-rank, and what is missing has 0. Categories are ordered by frequency. Beside the score z
stands u, its square less what a line through z explains of it. Both are standardised over those rows.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from sidecar.stats.categories import MAX_KEY
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Counts, Flags, Floats

PLACES = 16
"""Of a feature, besides the one for what is missing. So many keep 98 % of a normal variable's correlation."""

MAX_FEATURES = 64
"""That are scored, the first that vary: pairs grow with their square."""

BENT = 0.05
"""The part of a square's variance that must be left of it; of a feature of two values nothing is."""


@dataclass(frozen=True)
class NormalScores:
    """Scores of k features, in K columns: first the constant 1, then z of those that vary, then u of those that bend.

    Args:
        edges: Of the places of numbers, ascending, shape (PLACES - 1, k); inf behind a feature's last. A place holds
            what is above its lower edge and not above its upper one.
        categories: The place of each text, by feature; other texts, and numbers among texts, have the last place.
        features: Which feature each column is about, shape (K,); that of the constant means nothing.
        squares: Columns that are a u, shape (K,).
        table: The score of each place, shape (K, PLACES + 1); what is missing has the last.
    """

    edges: Floats
    categories: Mapping[int, Mapping[str, int]]
    features: Counts
    squares: Flags
    table: Floats

    def score(self, values: Floats, texts: Mapping[int, Cells]) -> Floats:
        """The scores of a batch, shape (n, K).

        Args:
            values: Shape (n, k), NaN for what is missing or a text.
            texts: By feature, each of length n.
        """
        places = _places(self.edges, self.categories, values, texts)
        starts = np.arange(len(self.table)) * self.table.shape[1]
        scores: Floats = self.table.take(places[:, self.features] + starts)
        return scores


def scores_of(values: Floats, texts: Mapping[int, Cells]) -> NormalScores:
    """The scores by the ranks of these rows, shape (m, k), not empty; a feature with a text is a category."""
    k = values.shape[1]
    categories = {
        feature: _categories(cells) for feature, cells in texts.items() if any(cell is not None for cell in cells)
    }
    edges = np.full((PLACES - 1, k), np.inf)
    for feature in range(k):
        found = _edges(values[:, feature])
        edges[: len(found), feature] = found
    places = _places(edges, categories, values, texts)
    starts = np.arange(k) * (PLACES + 1)
    shares = np.bincount((places + starts).ravel(), minlength=k * (PLACES + 1)).reshape(k, -1) / len(values)
    z = _standardised(_mid_scores(shares), shares)
    square = z**2 - 1
    bend = square - z * (shares * z * square).sum(axis=1, keepdims=True)
    u = _standardised(bend, shares)
    varying = np.flatnonzero((shares * z**2).sum(axis=1) > 0)[:MAX_FEATURES]
    bent = (shares * bend**2).sum(axis=1) > BENT * (shares * square**2).sum(axis=1)
    bending = varying[bent[varying]]
    return NormalScores(
        edges=edges,
        categories=categories,
        features=np.concatenate(([0], varying, bending)),
        squares=np.arange(1 + len(varying) + len(bending)) > len(varying),
        table=np.concatenate((np.ones((1, PLACES + 1)), z[varying], u[bending])),
    )


def _places(
    edges: Floats, categories: Mapping[int, Mapping[str, int]], values: Floats, texts: Mapping[int, Cells]
) -> NDArray[np.int8]:
    """Where each cell falls, shape (n, k), in 8 bits."""
    # By edge first, and in 8 bits: numpy then adds up long rows of small numbers.
    above = (values > edges[:, None, :]).view(np.int8)
    places: NDArray[np.int8] = above.sum(axis=0, dtype=np.int8)
    if categories:
        places[:, list(categories)] = PLACES - 1
    places[np.isnan(values)] = PLACES
    for feature, known in categories.items():
        cells = texts.get(feature, ())
        rows = [row for row, cell in enumerate(cells) if cell is not None]
        places[rows, feature] = [known.get((cells[row] or "")[:MAX_KEY], PLACES - 1) for row in rows]
    return places


def _edges(column: Floats) -> Floats:
    """Order statistics nearest to equal mass. An atom, a value on which two of them fall, has its own place."""
    numbers = np.sort(column[~np.isnan(column)])
    if not numbers.size:
        return np.empty(0)
    chosen, times = np.unique(
        numbers[np.maximum(np.arange(1, PLACES) * len(numbers) // PLACES - 1, 0)], return_counts=True
    )
    below = np.nextafter(chosen[times > 1], -np.inf)
    edges: Floats = np.unique(np.concatenate((chosen, below)))
    return edges


def _categories(cells: Cells) -> dict[str, int]:
    """The most frequent first; the last place is that of all others."""
    top = sorted(
        Counter(cell[:MAX_KEY] for cell in cells if cell is not None).items(), key=lambda item: (-item[1], item[0])
    )
    return {text: place for place, (text, _) in enumerate(top[: PLACES - 1])}


def _mid_scores(shares: Floats) -> Floats:
    """Normal quantiles of the places' mid-ranks among what is present; 0 for what is missing. (k, PLACES + 1)."""
    present = shares[:, :PLACES]
    whole = np.maximum(present.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    ranks = (np.cumsum(present, axis=1) - present / 2) / whole
    # A place that these rows never fell into lies at an end; its rank is that of half a row.
    ranks = np.clip(ranks, 1e-3, 1 - 1e-3)
    return np.pad(_quantiles(ranks), ((0, 0), (0, 1)))


def _standardised(scores: Floats, shares: Floats) -> Floats:
    """Less their mean, by their deviation; 0 where they do not vary."""
    centred = scores - (shares * scores).sum(axis=1, keepdims=True)
    deviation = np.sqrt((shares * centred**2).sum(axis=1, keepdims=True))
    out: Floats = np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-6)
    return out


_quantiles = np.vectorize(NormalDist().inv_cdf, otypes=[np.float64])
